import { createHash } from "node:crypto";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, Observable, type PossibleTypesMap } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { print } from "graphql";
import { createClient as createSseClient } from "graphql-sse";
import { createClient as createWsClient } from "graphql-ws";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { graphql } from "../generated/gql.ts";
import { submitted } from "../support/engine.ts";
import { bringTo } from "../support/jobs.ts";
import { PROTOCOLS, type Protocol } from "../support/live.ts";
import { countingFetch, eventually, introspect, openPlace, type Place } from "./harness.ts";

/** Apollo Client, with its normalised cache. */

let place: Place;
beforeAll(async () => {
  place = await openPlace();
});
afterAll(() => place.close());

const JOB = graphql(`query ApolloJob($jobId: UUID!) { aiJob(jobId: $jobId) { id jobId state version } }`);
const TRACE = graphql(`query ApolloTrace($jobId: UUID!) { aiJob(jobId: $jobId) { id jobId traceId } }`);
const CHANGES = graphql(`
  subscription ApolloChanges($jobId: UUID!) { aiJobChanged(jobId: $jobId) { kind job { id state version } } }
`);
const SUBMIT = graphql(`
  mutation ApolloSubmit($input: SubmitAiJobInput!) {
    submitAiJob(input: $input) {
      __typename
      ... on SubmitAiJobPayload { job { id state } }
      ... on Error { code message }
      ... on InvalidInputError { issues { path } }
    }
  }
`);
const CANCEL = graphql(`
  mutation ApolloCancel($jobId: UUID!) {
    cancelAiJobs(input: { filter: { rootJobId: $jobId, states: [CANCELLED] }, reason: "again" }) {
      ... on CancelAiJobsPayload { bulkAction { id } }
    }
  }
`);
const ACTION = graphql(`
  query ApolloAction($id: ID!) {
    node(id: $id) {
      ... on BulkAction { id items { nodes { jobId error { ... on Error { code } ... on IllegalTransitionError { from to } } } } }
    }
  }
`);

/** As Apollo's documentation says: which types a fragment on an interface or union applies to. */
async function possibleTypes(): Promise<PossibleTypesMap> {
  const { __schema } = await introspect(place.url);
  const abstract = __schema.types.filter((type) => type.kind === "INTERFACE" || type.kind === "UNION");
  return Object.fromEntries(abstract.map((type) => [type.name, type.possibleTypes.map(({ name }) => name)]));
}

function aClient(link: ApolloLink, types: PossibleTypesMap) {
  return new ApolloClient({ link, cache: new InMemoryCache({ possibleTypes: types }) });
}

/** The recipe of each protocol for Apollo. */
function liveLink(protocol: Protocol): { link: ApolloLink; dispose: () => unknown } {
  if (protocol === "graphql-ws") {
    const client = createWsClient({ url: place.url.replace("http", "ws"), webSocketImpl: WebSocket });
    return { link: new GraphQLWsLink(client), dispose: () => client.dispose() };
  }
  const client = createSseClient({ url: place.url });
  const link = new ApolloLink(
    ({ query, variables }) =>
      new Observable((sink) =>
        client.subscribe<ApolloLink.Result["data"]>(
          { query: print(query), variables },
          {
            next: ({ data }) => sink.next({ data: data ?? null }),
            error: (error) => sink.error(error),
            complete: () => sink.complete(),
          },
        ),
      ),
  );
  return { link, dispose: () => client.dispose() };
}

test.each(PROTOCOLS)("a watched query shows what a subscription over %s tells, without a request", async (protocol) => {
  const { jobId } = await submitted(place.engine);
  const http = countingFetch();
  const { link, dispose } = liveLink(protocol);
  const split = ApolloLink.split(
    ({ operationType }) => operationType === "subscription",
    link,
    new HttpLink({ uri: place.url, fetch: http.fetch }),
  );
  const client = aClient(split, await possibleTypes());
  const shown: unknown[] = [];
  const watching = client.watchQuery({ query: JOB, variables: { jobId } }).subscribe(({ data, dataState }) => {
    if (dataState === "complete") shown.push(data.aiJob?.state);
  });
  await eventually(() => shown).toEqual(["QUEUED"]);
  const kinds: unknown[] = [];
  const live = client
    .subscribe({ query: CHANGES, variables: { jobId } })
    .subscribe(({ data }) => kinds.push(data?.aiJobChanged.kind));
  await eventually(() => kinds).toEqual(["SNAPSHOT"]);
  await bringTo(place.engine, jobId, "CANCELLED");
  await eventually(() => shown).toEqual(["QUEUED", "CANCELLED"]);
  expect(http.sent).toHaveLength(1);
  live.unsubscribe();
  watching.unsubscribe();
  client.stop();
  await dispose();
});

test("a mutation answers a union that the client tells apart, with a fragment on what all errors have", async () => {
  const client = aClient(new HttpLink({ uri: place.url }), await possibleTypes());
  const submit = async (protocolId: string) => {
    const input = { jobKind: "DOC_EDIT", protocolId } as const;
    const { data } = await client.mutate({ mutation: SUBMIT, variables: { input } });
    return data?.submitAiJob;
  };
  expect(await submit("p")).toMatchObject({ __typename: "SubmitAiJobPayload", job: { state: "QUEUED" } });
  expect(await submit("")).toMatchObject({
    __typename: "InvalidInputError",
    code: "INVALID_INPUT",
    issues: [{ path: ["input", "protocolId"] }],
  });
  client.stop();
});

test("the cache applies a fragment on an interface to each of its types, given possibleTypes by introspection", async () => {
  const { jobId } = await submitted(place.engine);
  await bringTo(place.engine, jobId, "CANCELLED");
  const types = await possibleTypes();
  expect(types).toMatchObject({ Node: expect.arrayContaining(["AiJob", "Quota"]) });
  const client = aClient(new HttpLink({ uri: place.url }), types);
  const { data } = await client.mutate({ mutation: CANCEL, variables: { jobId } });
  const id = data?.cancelAiJobs.bulkAction?.id ?? "";
  await client.query({ query: ACTION, variables: { id } });
  const error = { code: "ILLEGAL_TRANSITION", from: "CANCELLED", to: "CANCELLED" };
  expect(client.readQuery({ query: ACTION, variables: { id } })).toMatchObject({
    node: { items: { nodes: [{ jobId, error }] } },
  });
  client.stop();
});

test.each([false, true])(
  "a persisted query is sent as its hash once the server knows it (by GET: %s)",
  async (byGet) => {
    const { jobId } = await submitted(place.engine);
    /** A new client with nothing in its cache, and what it sends for one query. */
    const ask = async () => {
      const http = countingFetch();
      const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
      const link = new PersistedQueryLink({ sha256, useGETForHashedQueries: byGet });
      const client = aClient(link.concat(new HttpLink({ uri: place.url, fetch: http.fetch })), {});
      // A text of its own for each case, so that the server cannot know it yet.
      const query = byGet ? JOB : TRACE;
      const { data } = await client.query({ query, variables: { jobId } });
      client.stop();
      return { data, texts: http.sent.map((request) => request.includes("query Apollo")) };
    };
    const [first, second] = [await ask(), await ask()];
    expect(first.texts).toEqual([false, true]);
    expect(second.texts).toEqual([false]);
    expect(second.data).toMatchObject({ aiJob: { jobId } });
    expect(second.data).toEqual(first.data);
  },
);
