import { afterAll, beforeAll, expect, test } from "vitest";
import { Availability } from "../../src/db/availability.ts";
import { TryAgainError } from "../../src/errors.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, SOMEBODY, submitted, WORKSPACE } from "../support/engine.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** GET /ready once a command has met a state of the database in which nothing, or not everything, can be written. */

const NO_SPACE = "The database has no space left on its disk.";
const reported: string[] = [];
const availability = new Availability((reason) => reported.push(reason));
let db: TestDatabase;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db, { availability });
  await db.prisma.$executeRaw`
    CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE 'could not extend file' USING ERRCODE = '53100'; END $$`;
});
afterAll(async () => {
  await server.close();
  await db.close();
});

async function ready() {
  const response = await fetch(new URL("/ready", server.url));
  const body: unknown = await response.json();
  return { status: response.status, body };
}

test("it stays 503 until a write of its own succeeds, whatever other commands can still write", async () => {
  const { jobId } = await submitted(engineOn(db));
  await db.prisma.$executeRaw`CREATE TRIGGER full_disk BEFORE INSERT ON ai_jobs EXECUTE FUNCTION no_space()`;
  await db.prisma.$executeRaw`CREATE TRIGGER full_disk BEFORE UPDATE ON event_log EXECUTE FUNCTION no_space()`;
  const engine = engineOn(db, { availability });
  await expect(submitted(engine)).rejects.toThrow(`${NO_SPACE} Nothing was kept; send the same again later.`);
  ok(await cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId, reason: "enough", includeChildren: false }));
  expect(await ready()).toEqual({ status: 503, body: { ready: false, reason: NO_SPACE } });
  expect(reported).toEqual([NO_SPACE]);
  await db.prisma.$executeRaw`DROP TRIGGER full_disk ON event_log`;
  await db.prisma.$executeRaw`DROP TRIGGER full_disk ON ai_jobs`;
  expect(await ready()).toEqual({ status: 200, body: { ready: true } });
  await submitted(engine);
});

test("a state explains the errors of background work that come of it, and no others", async () => {
  const later = new Availability(() => undefined);
  const busy = new TryAgainError();
  const full = new TryAgainError(`${NO_SPACE} Nothing was kept; send the same again later.`);
  expect([busy, full, new Error("a bug")].map((error) => later.explains(error))).toEqual([false, false, false]);
  later.met(NO_SPACE);
  expect([busy, full, new Error("a bug")].map((error) => later.explains(error))).toEqual([false, true, false]);
});
