import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { cacheExchange, type UpdateResolver } from "@urql/exchange-graphcache";
import { createClient as createWsClient } from "graphql-ws";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { graphql } from "../generated/gql.ts";
import type { UrqlDeleteQuotaMutation, UrqlSetQuotaMutation } from "../generated/graphql.ts";
import { started, submitted } from "../support/engine.ts";
import { bringTo } from "../support/jobs.ts";
import { PROTOCOLS, type Protocol } from "../support/live.ts";
import { countingFetch, eventually, introspect, openPlace, type Place } from "./harness.ts";

/** urql with Graphcache: a normalised cache that knows our schema, and warns of all that it can make no entity of. */

let place: Place;
beforeAll(async () => {
  place = await openPlace();
});
afterAll(() => place.close());

const QUOTAS = graphql(`query UrqlQuotas { quotas { id max used } }`);
const SET = graphql(`
  mutation UrqlSetQuota($input: SetQuotaInput!) {
    setQuota(input: $input) { __typename ... on SetQuotaPayload { quota { id quotaId max used } } ... on Error { code } }
  }
`);
const DELETE = graphql(`
  mutation UrqlDeleteQuota($quotaId: UUID!) {
    deleteQuota(input: { quotaId: $quotaId }) { __typename ... on DeleteQuotaPayload { deletedQuotaId } ... on Error { code } }
  }
`);
const JOB = graphql(
  `query UrqlJob($jobId: UUID!) { aiJob(jobId: $jobId) { id state version metrics { totalTokens } } }`,
);
const CHANGES = graphql(`
  subscription UrqlChanges($jobId: UUID!) {
    aiJobChanged(jobId: $jobId) { kind event { id type } job { id state version metrics { totalTokens } } }
  }
`);
const EVERYTHING = graphql(`
  query UrqlEverything {
    aiJobs(first: 5) {
      totalCount
      pageInfo { endCursor }
      edges {
        cursor
        node {
          id
          entityRefs { entityKind }
          plannedOperations { opType target { entityId } }
          metrics { totalTokens }
          parentJob { id }
          workflowRun { id steps { id } }
          events(first: 5) { nodes { id metrics { totalTokens } } }
        }
      }
    }
    aiJobStats { total byState { state count } byKind { jobKind count } metrics { totalTokens } }
    workers { nodes { workerId leases } }
    bulkActions(first: 2) { nodes { id items { nodes { jobId job { id } error { __typename code ... on IllegalTransitionError { from } } } } } }
    capabilityProfiles { id capabilities }
    quotas { id max }
  }
`);
const CANCEL_ALL = graphql(`
  mutation UrqlCancelAll {
    cancelAiJobs(input: { filter: { states: [CANCELLED, QUEUED] }, reason: "done" }) {
      ... on CancelAiJobsPayload { bulkAction { id items { nodes { jobId job { id state } error { code } } } } }
    }
  }
`);

/** A quota that is new goes to the end of the list; one that was there is an entity, and changes by itself. */
const afterSet: UpdateResolver<UrqlSetQuotaMutation, object> = ({ setQuota }, _args, cache) => {
  if (setQuota.__typename !== "SetQuotaPayload") return;
  const { quota } = setQuota;
  cache.updateQuery({ query: QUOTAS }, (data) =>
    !data || data.quotas.some(({ id }) => id === quota.id) ? data : { ...data, quotas: [...data.quotas, quota] },
  );
};

/** The payload has the id under which the cache has the quota. Lists that had it are asked for again. */
const afterDelete: UpdateResolver<UrqlDeleteQuotaMutation, object> = ({ deleteQuota }, _args, cache) => {
  if (deleteQuota.__typename === "DeleteQuotaPayload")
    cache.invalidate({ __typename: "Quota", id: deleteQuota.deletedQuotaId });
};

async function aClient(protocol: Protocol = "graphql-sse") {
  const schema = await introspect(place.url);
  // Every entity has an id. What has none is a part of the entity that it stands in.
  const embedded = schema.__schema.types.filter(
    (type) => type.kind === "OBJECT" && !type.fields.some(({ name }) => name === "id"),
  );
  const keys = Object.fromEntries(embedded.map(({ name }) => [name, () => null]));
  const updates = { Mutation: { setQuota: afterSet, deleteQuota: afterDelete } };
  const warned = vi.spyOn(console, "warn");
  const http = countingFetch();
  const socket = createWsClient({ url: place.url.replace("http", "ws"), webSocketImpl: WebSocket, lazy: true });
  const overSocket = subscriptionExchange({
    forwardSubscription: ({ query = "", variables = {} }) => ({
      subscribe: (sink) => {
        const stop = socket.subscribe(
          { query, variables },
          { ...sink, next: ({ data = null, errors }) => sink.next({ data, ...(errors ? { errors } : {}) }) },
        );
        return { unsubscribe: stop };
      },
    }),
  });
  const client = new Client({
    url: place.url,
    fetch: http.fetch,
    preferGetMethod: false,
    fetchSubscriptions: protocol === "graphql-sse",
    exchanges: [
      cacheExchange({ schema, keys, updates }),
      ...(protocol === "graphql-sse" ? [] : [overSocket]),
      fetchExchange,
    ],
  });
  return {
    client,
    sent: http.sent,
    async [Symbol.asyncDispose]() {
      await socket.dispose();
      const warnings = warned.mock.calls;
      warned.mockRestore();
      expect(warnings).toEqual([]);
    },
  };
}

test("a mutation updates a list: what is set is added without a request, and what is deleted goes by its id", async () => {
  await using it = await aClient();
  const shown: number[][] = [];
  const watching = it.client.query(QUOTAS, {}).subscribe(({ data, error }) => {
    expect(error).toBeUndefined();
    shown.push(data?.quotas.map(({ max }) => max) ?? []);
  });
  await eventually(() => shown).toEqual([[]]);
  const set = async (max: number) => {
    const { data } = await it.client.mutation(SET, { input: { resource: "ACTIVE_JOBS", max } });
    return data?.setQuota.__typename === "SetQuotaPayload" ? data.setQuota.quota.quotaId : "";
  };
  const quotaId = await set(5);
  expect(shown).toEqual([[], [5]]);
  await set(6);
  expect(shown).toEqual([[], [5], [6]]);
  expect(it.sent).toHaveLength(3);
  await it.client.mutation(DELETE, { quotaId });
  await eventually(() => shown.at(-1)).toEqual([]);
  expect(it.sent).toHaveLength(5);
  watching.unsubscribe();
});

test.each(PROTOCOLS)(
  "a subscription over %s updates the job that a query shows, without a request",
  async (protocol) => {
    await using it = await aClient(protocol);
    const { jobId } = await submitted(place.engine);
    const shown: unknown[] = [];
    const watching = it.client.query(JOB, { jobId }).subscribe(({ data }) => shown.push(data?.aiJob?.state));
    await eventually(() => shown).toEqual(["QUEUED"]);
    const told: unknown[] = [];
    const live = it.client.subscription(CHANGES, { jobId }).subscribe(({ data, error }) => {
      expect(error).toBeUndefined();
      told.push(data?.aiJobChanged.event?.type);
    });
    await eventually(() => told).toEqual([undefined]);
    await bringTo(place.engine, jobId, "CANCELLED");
    await eventually(() => told).toEqual([undefined, "STATE_CHANGED"]);
    expect(shown.at(-1)).toBe("CANCELLED");
    expect(it.sent.filter((request) => request.includes("query UrqlJob"))).toHaveLength(1);
    live.unsubscribe();
    watching.unsubscribe();
  },
);

test("every entity has a key: nothing that queries and mutations answer makes the cache warn", async () => {
  await using it = await aClient();
  const ref = { entityKind: "DOC", entityId: "a", selector: null };
  const plannedOperations = [{ opType: "READ", target: ref, description: null }] as const;
  await started(place.engine, { entityRefs: [ref], plannedOperations: [...plannedOperations] });
  await bringTo(place.engine, (await submitted(place.engine)).jobId, "CANCELLED");
  const cancelled = await it.client.mutation(CANCEL_ALL, {});
  expect(cancelled.data?.cancelAiJobs.bulkAction?.items.nodes).toContainEqual(
    expect.objectContaining({ error: expect.anything() }),
  );
  await it.client.mutation(SET, { input: { resource: "ACTIVE_JOBS", max: 7 } });
  const first = await it.client.query(EVERYTHING, {});
  expect(first.error?.message).toBeUndefined();
  const again = await it.client.query(EVERYTHING, {}, { requestPolicy: "cache-only" });
  expect(again.data).toEqual(first.data);
  expect(again.data?.workers.nodes).toHaveLength(1);
});
