import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { AppError } from "../../src/errors.ts";
import type { Viewer } from "../../src/graphql/viewer.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, submitted, WORKSPACE } from "../support/engine.ts";
import { bringTo } from "../support/jobs.ts";
import { PROTOCOLS, watch } from "../support/live.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** The right to watch: asked for at subscribe, and the subscription ends with it. A rule of the test's stands in. */

class NotAllowed extends AppError {
  readonly code = "FORBIDDEN";
}
class TokenExpired extends AppError {
  readonly code = "UNAUTHENTICATED";
}

let db: TestDatabase;
let server: TestServer;
/** Who was asked about, and those whose rights may end. */
let asked: { workspaceId: string; jobId: string | undefined }[] = [];
const holders = new Set<(reason: AppError) => void>();
const STRANGER = "00000000-0000-7000-8000-00000000000f";

beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db, {}, { mayWatch });
});
afterEach(() => {
  asked = [];
});
afterAll(async () => {
  await server.close();
  await db.close();
});

async function mayWatch({ workspaceId }: Viewer, jobId: string | undefined) {
  asked.push({ workspaceId, jobId });
  await new Promise((resolve) => setTimeout(resolve, 1));
  if (workspaceId === STRANGER) throw new NotAllowed("This is not yours to watch.");
  return {
    onEnd: (tell: (reason: AppError) => void) => {
      holders.add(tell);
      return () => holders.delete(tell);
    },
  };
}

const ONE = "subscription ($jobId: UUID!) { change: aiJobChanged(jobId: $jobId) { version } }";
const ALL = "subscription { change: aiJobsChanged { version kind } }";
const version = (data: Record<string, unknown>) =>
  z.object({ change: z.object({ version: z.int() }) }).parse(data).change.version;

describe.each(PROTOCOLS)("over %s", (protocol) => {
  test("whoever may not watch is refused at subscribe, before anything is read for them", async () => {
    const { jobId } = await submitted(engineOn(db));
    db.statements();
    for (const operation of [{ query: ONE, variables: { jobId } }, { query: ALL }]) {
      await using changes = watch(protocol, server.url, { ...operation, workspaceId: STRANGER }, version);
      await expect(changes.until((seen) => seen.length > 0)).rejects.toThrow(
        protocol === "graphql-sse" ? "403: Forbidden" : "FORBIDDEN",
      );
    }
    expect(asked).toEqual([
      { workspaceId: STRANGER, jobId },
      { workspaceId: STRANGER, jobId: undefined },
    ]);
    expect(db.statements()).toEqual([]);
    expect(server.feed.subscribers).toBe(0);
  });

  test("a subscription ends with its token, at once while nothing happens, and tells why", async () => {
    const { jobId } = await submitted(engineOn(db));
    await using changes = watch(protocol, server.url, { query: ONE, variables: { jobId } }, version);
    await changes.until((seen) => seen.length === 1);
    expect(holders.size).toBe(1);
    for (const end of holders) end(new TokenExpired("The token has expired."));
    await expect(changes.until((seen) => seen.length > 1)).rejects.toThrow(/UNAUTHENTICATED/);
    await vi.waitUntil(() => server.feed.subscribers === 0, { timeout: 20_000 });
    expect(holders.size).toBe(0);
  });

  test("what comes after the right has ended is not told any more, though it waits already", async () => {
    const { jobId } = await submitted(engineOn(db));
    const kind = (data: Record<string, unknown>) =>
      z.object({ change: z.object({ kind: z.string() }) }).parse(data).change.kind;
    await using changes = watch(protocol, server.url, { query: ALL }, kind);
    await vi.waitUntil(() => holders.size === 1, { timeout: 20_000 });
    await using other = watch(protocol, server.url, { query: ONE, variables: { jobId } }, version);
    await other.until((seen) => seen.length === 1);
    await vi.waitUntil(() => holders.size === 2, { timeout: 20_000 });
    const [first] = holders;
    first?.(new TokenExpired("The token has expired."));
    await bringTo(engineOn(db), jobId, "FAILED");
    await other.until((seen) => seen.includes(2));
    await expect(changes.until(() => false)).rejects.toThrow(/UNAUTHENTICATED/);
    expect(changes.seen).not.toContain("EVENT");
  });

  test("nobody waits for the end of a right whose subscriber has gone", async () => {
    const { jobId } = await submitted(engineOn(db));
    {
      await using changes = watch(protocol, server.url, { query: ONE, variables: { jobId } }, version);
      await changes.until((seen) => seen.length === 1);
      expect(holders.size).toBe(1);
    }
    await vi.waitUntil(() => holders.size === 0, { timeout: 20_000 });
  });
});

test("the workspace is the viewer's", async () => {
  await using changes = watch("graphql-sse", server.url, { query: ALL }, version);
  await vi.waitUntil(() => asked.length === 1, { timeout: 20_000 });
  expect(asked).toEqual([{ workspaceId: WORKSPACE, jobId: undefined }]);
  expect(changes.seen.length).toBeGreaterThanOrEqual(0);
});
