import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, SOMEBODY, submitted, WORKSPACE } from "../support/engine.ts";
import { PROTOCOLS, watch } from "../support/live.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** `aiJobChanged(untilEnded: true)`: who waits for a job's end is told of it, and then that there is nothing more to come. */

let db: TestDatabase;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const QUERY = `subscription ($jobId: UUID!, $after: Cursor) {
  change: aiJobChanged(jobId: $jobId, after: $after, untilEnded: true) { kind cursor state } }`;
const payload = z.object({ change: z.object({ kind: z.string(), cursor: z.string(), state: z.string() }) });
const violation = {
  violationType: "EXPORT",
  aceCode: "ACE-013",
  guardName: "a person",
  trigger: "line 1",
  description: "It leaks.",
  sourceId: null,
} as const;
const cancel = async (jobId: string) =>
  ok(await cancelAiJob(engineOn(db), WORKSPACE, SOMEBODY, { jobId, reason: "no longer wanted" }));

describe.each(PROTOCOLS)("over %s", (protocol) => {
  const follow = (jobId: string, after?: string) =>
    watch(protocol, server.url, { query: QUERY, variables: { jobId, after } }, (data) => payload.parse(data).change);
  /** What was told until the stream completed. */
  const toldBy = async (subscriber: ReturnType<typeof follow>) => {
    await expect(subscriber.until(() => false)).rejects.toThrow(/^Ended after/);
    return subscriber.seen.map(({ kind, state }) => `${kind} ${state}`);
  };

  test.each([
    ["cancelled", "CANCELLED", cancel],
    ["poisoned", "POISONED", (jobId: string) => poisonJob(engineOn(db), WORKSPACE, jobId, violation)],
  ] as const)("it completes after the event by which the job is %s", async (_what, state, end) => {
    const { jobId } = await submitted(engineOn(db));
    await using subscriber = follow(jobId);
    await subscriber.until((seen) => seen.length === 1);
    await end(jobId);
    expect(await toldBy(subscriber)).toEqual(["SNAPSHOT QUEUED", `EVENT ${state}`]);
  });

  test("it completes after the snapshot of a job that has ended", async () => {
    const { jobId } = await submitted(engineOn(db));
    await cancel(jobId);
    await using subscriber = follow(jobId);
    expect(await toldBy(subscriber)).toEqual(["SNAPSHOT CANCELLED"]);
  });

  test("it completes at once for who has been told of the end, and after the end for who has not", async () => {
    const { jobId } = await submitted(engineOn(db));
    await using first = follow(jobId);
    await first.until((seen) => seen.length === 1);
    await cancel(jobId);
    await toldBy(first);
    const [queued, cancelled] = first.seen.map(({ cursor }) => cursor);
    await using knowing = follow(jobId, cancelled);
    expect(await toldBy(knowing)).toEqual([]);
    await using unknowing = follow(jobId, queued);
    expect(await toldBy(unknowing)).toEqual(["EVENT CANCELLED"]);
  });
});
