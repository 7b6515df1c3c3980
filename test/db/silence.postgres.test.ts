import { pino } from "pino";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { DatabaseError } from "../../src/db/database-error.ts";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { openDatabase } from "../../src/db/open.ts";
import { within } from "../../src/db/scope.ts";
import { inSingleStatement, inTransaction, readWithRetry, type Transaction } from "../../src/db/transaction.ts";
import { TryAgainError } from "../../src/errors.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { LogContinuity } from "../../src/live/continuity.ts";
import { startMaintenance } from "../../src/maintenance.ts";
import { createPostgresDatabase } from "../support/database.ts";
import { EVERYWHERE, engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { anotherClient, type Proxy, startProxy } from "../support/interrupt.ts";
import { expireLease } from "../support/jobs.ts";
import { watch } from "../support/live.ts";
import { startTestServer } from "../support/server.ts";

/** Connections on which nothing comes any more though nobody closed them: a host that died, a firewall that forgot. */

const LONG = { timeout: 90_000 };

let url: string;
let drop: () => Promise<void>;
/** The test's own way to the database, which stays. */
let direct: PrismaClient;
beforeAll(async () => {
  ({ url, drop } = await createPostgresDatabase());
  await (await openDatabase({ kind: "postgres", url, poolSize: 1 })).close();
  direct = anotherClient(url, 4);
});
afterAll(async () => {
  await direct.$disconnect();
  await drop();
});

/** Does `work` on a storage of its own, whose network the proxy is. */
async function behindProxy(work: (database: Database, proxy: Proxy) => Promise<void>): Promise<void> {
  const proxy = await startProxy(url);
  const database = await openDatabase({ kind: "postgres", url: proxy.url, poolSize: 10 });
  try {
    await work(database, proxy);
  } finally {
    await proxy.close();
    await database.close();
  }
}

const engine = () => engineOn({ prisma: direct, kind: "postgres", close: async () => undefined });
const stateOf = async (jobId: string) => (await direct.aiJob.findUniqueOrThrow({ where: { jobId } })).state;

/** A row that shows whether what wrote it was kept. */
const write = (db: Transaction, id: string) =>
  db.$executeRaw`INSERT INTO capability_profiles (id, capabilities, job_kinds) VALUES (${id}, '{}', '{}')`;
const isKept = async (id: string) => (await direct.capabilityProfile.count({ where: { id } })) === 1;

async function untilHealth(of: string, status: string): Promise<void> {
  const look = async () => JSON.stringify(await (await fetch(new URL("/health", of))).json());
  await vi.waitUntil(async () => (await look()).includes(`"status":"${status}"`), { timeout: 60_000, interval: 200 });
}

const failure = (work: Promise<unknown>) =>
  work.then(
    () => "nothing was thrown",
    (error: unknown) => error,
  );

test.concurrent(
  "subscribers hear again and lost leases are recovered by the same server, which tells of it meanwhile",
  LONG,
  () =>
    behindProxy(async (database, proxy) => {
      const continuity = new LogContinuity(database.prisma, () => undefined);
      const maintenance = startMaintenance(engineOn(database), continuity, 300, pino({ level: "silent" }));
      const server = await startTestServer(database, {}, { maintenance });
      const { jobId } = await submitted(engine());
      const [first, second] = [await started(engine()), await started(engine())];
      const query = `subscription { aiJobChanged(jobId: "${jobId}") { version } }`;
      await using subscriber = watch("graphql-sse", server.url, { query }, (data) => data);
      await subscriber.until(({ length }) => length === 1);
      await expireLease({ prisma: direct }, first);
      await vi.waitUntil(async () => (await stateOf(first.job.jobId)) === "QUEUED", { timeout: 20_000 });

      proxy.abandon();
      ok(await cancelAiJob(engine(), WORKSPACE, SOMEBODY, { jobId, reason: "enough", includeChildren: false }));
      await expireLease({ prisma: direct }, second);
      await untilHealth(server.url, "degraded");
      await vi.waitUntil(() => subscriber.seen.length === 2, { timeout: 60_000 });
      await vi.waitUntil(async () => (await stateOf(second.job.jobId)) === "QUEUED", { timeout: 60_000 });
      await untilHealth(server.url, "ok");
      await maintenance.stop();
      await server.close();
    }),
);

test.concurrent("a read is repeated on another connection", LONG, () =>
  behindProxy(async ({ prisma }, proxy) => {
    await within(EVERYWHERE, () => prisma.$queryRaw`SELECT 1`);
    proxy.abandon();
    expect(await readWithRetry(EVERYWHERE, () => prisma.$queryRaw`SELECT 1 AS one`)).toEqual([{ one: 1 }]);
  }),
);

test.concurrent("a transaction that had not come to its commit is TRY_AGAIN, and nothing of it is kept", LONG, () =>
  behindProxy(async ({ prisma }, proxy) => {
    let attempts = 0;
    const error = await failure(
      inTransaction({ prisma, notifyCommit: () => undefined }, EVERYWHERE, async (tx) => {
        attempts += 1;
        await write(tx, "before the silence");
        proxy.abandon();
        await write(tx, "in the silence");
      }),
    );
    expect(error).toBeInstanceOf(TryAgainError);
    expect(attempts).toBe(1);
    expect(await isKept("before the silence")).toBe(false);
  }),
);

test.concurrent("a commit that nothing is heard of is not said to have been lost, nor is it repeated", LONG, () =>
  behindProxy(async ({ prisma }, proxy) => {
    let attempts = 0;
    const error = await failure(
      inTransaction({ prisma, notifyCommit: () => undefined }, EVERYWHERE, async (tx) => {
        attempts += 1;
        await write(tx, "in a transaction");
        proxy.silence();
      }),
    );
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(TryAgainError);
    expect(attempts).toBe(1);
    expect(await isKept("in a transaction")).toBe(true);
  }),
);

test.concurrent("nor is one statement that commits by itself", LONG, () =>
  behindProxy(async ({ prisma }, proxy) => {
    let attempts = 0;
    await within(EVERYWHERE, () => prisma.$queryRaw`SELECT 1`);
    const error = await failure(
      inSingleStatement({ prisma, notifyCommit: () => undefined }, EVERYWHERE, async (db) => {
        attempts += 1;
        proxy.silence();
        await write(db, "in one statement");
      }),
    );
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(TryAgainError);
    expect(attempts).toBe(1);
    expect(await isKept("in one statement")).toBe(true);
  }),
);

test.concurrent("while no connection can be made, everything is TRY_AGAIN in the end: nothing was sent", LONG, () =>
  behindProxy(async ({ prisma }, proxy) => {
    const context = { prisma, notifyCommit: () => undefined };
    proxy.silence();
    proxy.abandon();
    const answers = await Promise.all([
      failure(inTransaction(context, EVERYWHERE, (tx) => write(tx, "never sent"))),
      failure(inSingleStatement(context, EVERYWHERE, (db) => write(db, "never sent"))),
      failure(readWithRetry(EVERYWHERE, () => prisma.$queryRaw`SELECT 1`)),
    ]);
    expect(answers).toEqual([expect.any(TryAgainError), expect.any(TryAgainError), expect.any(TryAgainError)]);
    expect(await isKept("never sent")).toBe(false);
  }),
);

test.concurrent("a start whose database says nothing ends with a sentence", LONG, async () => {
  const proxy = await startProxy(url);
  proxy.silence();
  const error = await failure(openDatabase({ kind: "postgres", url: proxy.url, poolSize: 1 }));
  expect(error).toBeInstanceOf(DatabaseError);
  expect(error).toHaveProperty("message", expect.stringMatching(/^PostgreSQL does not answer at the address/));
  await proxy.close();
});
