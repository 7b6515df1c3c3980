import { afterAll, beforeAll, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { graphql } from "../generated/gql.ts";
import type { UsageReportOfJobsQueryVariables } from "../generated/graphql.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, started } from "../support/engine.ts";
import { aCompletion } from "../support/reports.ts";
import { run, startTestServer, type TestServer } from "../support/server.ts";

/** Usage over time, as clients ask for it (section 14). */

let db: TestDatabase;
let engine: EngineContext;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
  server = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const REPORT = graphql(`
  query UsageReportOfJobs(
    $from: DateTime!, $to: DateTime!, $interval: UsageInterval!, $groupBy: [UsageGroup!]!, $labelKey: String, $protocolId: String
  ) {
    aiJobUsage(
      from: $from, to: $to, interval: $interval, groupBy: $groupBy, labelKey: $labelKey, protocolId: $protocolId
    ) {
      from jobKind state provider model protocolId label jobs costMicros
      metrics { totalTokens inputTokens outputTokens }
    }
  }
`);
const DECLARE = graphql(`
  mutation UsageReportLabels($input: SetUsageLabelsInput!) {
    setUsageLabels(input: $input) { ... on SetUsageLabelsPayload { workspace { usageLabels } } }
  }
`);

const DAY_MS = 86_400_000;
const day = (days: number) => new Date((Math.floor(Date.now() / DAY_MS) + days) * DAY_MS).toISOString();
const ask = (more: Partial<UsageReportOfJobsQueryVariables> = {}) =>
  run(server.url, REPORT, { from: day(-1), to: day(2), interval: "DAY", groupBy: [], ...more });

test("the labels are shown in their order, and rows say what they are of", async () => {
  const { setUsageLabels } = await run(server.url, DECLARE, { input: { keys: ["team", "env"] } });
  expect(setUsageLabels).toEqual({ workspace: { usageLabels: ["team", "env"] } });
  const claim = await started(engine, { jobKind: "DOC_EDIT", labels: [{ key: "team", value: "search" }] });
  const usage = { inputTokens: 5, cachedInputTokens: 4, outputTokens: 3, reasoningTokens: 2, costMicros: 7 };
  const calls = [{ provider: "openai", model: "gpt-5", ...usage }];
  const metrics = { ...aCompletion(claim).metrics, inputTokens: 9, outputTokens: 5, usage: calls };
  ok((await completeWorkflows(engine, [aCompletion(claim, { metrics })]))[0]);
  const none = { jobKind: null, state: null, provider: null, model: null, protocolId: null, label: null };
  const counted = { jobs: 1, costMicros: 7, metrics: { totalTokens: 14, inputTokens: 9, outputTokens: 5 } };
  const rowsOf = async (more: Partial<UsageReportOfJobsQueryVariables>) => (await ask(more)).aiJobUsage;
  expect(await rowsOf({})).toMatchObject([{ ...none, ...counted }]);
  expect(await rowsOf({ groupBy: ["KIND", "STATE"] })).toMatchObject([
    { ...none, ...counted, jobKind: "DOC_EDIT", state: "COMPLETED" },
  ]);
  expect(await rowsOf({ groupBy: ["MODEL", "LABEL"], labelKey: "team" })).toMatchObject([
    { ...none, ...counted, provider: "openai", model: "gpt-5", label: "search" },
  ]);
  expect(await rowsOf({ groupBy: ["PROTOCOL"], protocolId: "test" })).toMatchObject([
    { ...none, ...counted, protocolId: "test" },
  ]);
  expect(await rowsOf({ groupBy: ["LABEL"], labelKey: "env" })).toEqual([]);
});

test.each<[string, Partial<UsageReportOfJobsQueryVariables>, RegExp]>([
  [
    "a start within a day",
    { from: "2026-03-01T10:00:00Z", to: "2026-03-03T00:00:00Z" },
    /start of a day in UTC, such as 2026-03-01T00:00:00.000Z/,
  ],
  [
    "an end within an hour",
    { from: "2026-03-01T10:00:00Z", to: "2026-03-01T12:30:00Z", interval: "HOUR" },
    /start of an hour in UTC, such as 2026-03-01T13:00:00.000Z/,
  ],
  ["no time at all", { from: day(1), to: day(1) }, /must be after/],
  [
    "more than 744 hours",
    { from: "2026-03-01T00:00:00Z", to: "2026-04-01T01:00:00Z", interval: "HOUR" },
    /At most 744 hours at once: send 2026-04-01T00:00:00.000Z/,
  ],
  ["more than 366 days", { from: "2026-01-01T00:00:00Z", to: "2027-01-03T00:00:00Z" }, /At most 366 days at once/],
  ["three groups", { groupBy: ["KIND", "STATE", "MODEL"] }, /At most 2 groups, each once/],
  ["a group twice", { groupBy: ["KIND", "KIND"] }, /At most 2 groups, each once/],
  ["LABEL without a key", { groupBy: ["LABEL"] }, /LABEL needs `labelKey`/],
  ["a key without LABEL", { labelKey: "team" }, /Leave it out, or group by LABEL/],
  ["a key that is not declared", { groupBy: ["LABEL"], labelKey: "user" }, /has not declared this key/],
  ["a key that no label has", { groupBy: ["LABEL"], labelKey: "Team" }, /1 to 63 characters/],
])("%s is refused, and the answer says what to send", async (_, more, message) => {
  await expect(ask(more)).rejects.toThrow(message);
});

test("all fields of the most hours are within the limits of an operation", async () => {
  const { aiJobUsage } = await ask({ from: "2026-03-01T00:00:00Z", to: "2026-04-01T00:00:00Z", interval: "HOUR" });
  expect(aiJobUsage).toEqual([]);
});
