import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openDatabase } from "../../src/db/open.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { costSince, untilCost } from "../support/long-poll.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { killSpawned, spawnServer } from "../support/spawn-server.ts";
import { idsFrom, submitTo } from "../support/workers.ts";

/** Workers that wait at one server for what another one queues, on the same database. */

let db: TestDatabase;
let here: TestServer;
let otherStorage: Database;
let there: TestServer;
let workspaceId: string;
beforeAll(async () => {
  db = await openTestDatabase();
  otherStorage = await openDatabase(db.location);
  here = await startTestServer(db);
  there = await startTestServer(otherStorage);
});
afterAll(async () => {
  await here.close();
  await there.close();
  await otherStorage.close();
  await db.close();
});
beforeEach(() => {
  workspaceId = randomUUID();
  costSince(db);
});
afterEach(killSpawned);

/** A wait lasts 20 seconds: what comes within these was not the end of it, on a busy machine either. */
const SOON_MS = 8000;

function wait(at: string, workspace = workspaceId): Promise<string[]> {
  return idsFrom(at, { waitSeconds: 20 }, { workspaceId: workspace });
}

describe("a worker that waits is answered soon after a submit", () => {
  test("at another server", async () => {
    const answer = wait(here.url);
    await untilCost(db, ({ claims, looks }) => claims > 0 && looks > 1);
    const since = performance.now();
    const jobId = await submitTo(there.url, {}, { workspaceId });
    expect(await answer).toEqual([jobId]);
    expect(performance.now() - since).toBeLessThan(SOON_MS);
  });

  test("at a server that is another process", async () => {
    const process = spawnServer({ ...db.env });
    const url = await process.url;
    const answers = [wait(here.url), wait(url)];
    await untilCost(db, ({ claims, looks }) => claims > 0 && looks > 1);
    const since = performance.now();
    const jobIds = [await submitTo(url, {}, { workspaceId }), await submitTo(here.url, {}, { workspaceId })];
    expect((await Promise.all(answers)).flat().toSorted()).toEqual(jobIds.toSorted());
    expect(performance.now() - since).toBeLessThan(SOON_MS);
    expect((await process.end("SIGTERM")).code).toBe(0);
  });

  test("whatever the moment at which the job comes", async () => {
    const rounds = Array.from({ length: 60 }, async (_, round) => {
      const workspace = randomUUID();
      const submit = async () => {
        await new Promise((resolve) => setTimeout(resolve, round * 10));
        return submitTo(round % 2 === 0 ? here.url : there.url, {}, { workspaceId: workspace });
      };
      const since = performance.now();
      const [answer, jobId] = await Promise.all([wait(here.url, workspace), submit()]);
      expect(answer).toEqual([jobId]);
      return performance.now() - since;
    });
    expect(Math.max(...(await Promise.all(rounds)))).toBeLessThan(SOON_MS * 2);
  });
});

test("of workers that wait at two servers, one is given the job and the others go on waiting", async () => {
  const gone = new AbortController();
  const answered: string[][] = [];
  const waiting = Array.from({ length: 10 }, (_, at) =>
    idsFrom(at % 2 === 0 ? here.url : there.url, { waitSeconds: 20 }, { workspaceId, signal: gone.signal }).then(
      (ids) => answered.push(ids),
    ),
  );
  const settled = Promise.allSettled(waiting);
  await untilCost(db, ({ looks }) => here.claimer.waiting + there.claimer.waiting === 10 && looks > 1);
  for (let job = 1; job <= 3; job++) {
    const jobId = await submitTo(here.url, {}, { workspaceId });
    await untilCost(db, () => answered.length >= job);
    expect(answered.at(-1)).toEqual([jobId]);
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(answered).toHaveLength(3);
  gone.abort();
  await settled;
});
