import { access, constants, statfs } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type Config, readConfig } from "../../config.ts";
import type { PostgresLocation } from "../../db/database.ts";
import { holderOf } from "../../db/folder-lock.ts";
import type { PrismaClient } from "../../db/generated/client/client.ts";
import { LacksMigrationsError } from "../../db/migrate.ts";
import { openPostgres } from "../../db/postgres.ts";
import { explain } from "../../explain.ts";
import { assertMayBeOpen } from "../../identity/may-be-open.ts";
import { MAX_LAG_MS, readLag } from "../../live/lag.ts";
import { documentFindings } from "./documents.ts";
import type { Finding } from "./finding.ts";
import { portFindings } from "./ports.ts";
import { redisFindings } from "./redis.ts";
import { readSession, type Session } from "./session.ts";

/** Disk space below which somebody should look, in bytes: a day of a busy server. */
const LITTLE_SPACE = 2 ** 30;
/** A round trip that takes longer than this, in milliseconds, makes every request slow: the database is in another place. */
const LONG_ROUND_TRIP_MS = 20;
/** Clocks that differ by more make what people read in two logs confusing; the server itself goes by the database's. */
const CLOCK_DIFFERENCE_MS = 1_000;

/** Looks at everything that a server with these environment variables would use. */
export async function diagnose(env: Readonly<Record<string, string | undefined>>): Promise<readonly Finding[]> {
  try {
    const config = readConfig(env);
    const read: Finding = { check: "configuration", state: "ok", text: "Every variable can be used." };
    return [
      read,
      ...(await documentFindings(config)),
      ...(await portFindings(config)),
      ...(await redisFindings(config)),
      ...(await databaseFindings(config)),
    ];
  } catch (error) {
    return [{ check: "configuration", state: "failed", text: explain(error) }];
  }
}

async function databaseFindings({ database, auth }: Config): Promise<readonly Finding[]> {
  switch (database.kind) {
    case "memory":
      return [{ check: "database", state: "warning", text: "In memory: nothing is kept when the server ends." }];
    case "folder":
      return [await folder(database.path), await disk(database.path)];
    case "postgres":
      return postgres({ ...database, needsOwnRole: auth === "required" }, auth);
  }
}

async function folder(path: string): Promise<Finding> {
  const check = "database";
  const where = `The embedded database in ${resolve(path)}`;
  const there = await nearest(path);
  const canWrite = await access(there, constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!canWrite) return { check, state: "failed", text: `${where} cannot be written: ${there} is not this user's.` };
  if (there !== resolve(path)) return { check, state: "ok", text: `${where} is made at the first start.` };
  const holder = await holderOf(join(path, "lock"));
  if (holder === undefined) return { check, state: "ok", text: `${where} is used by no process of this machine.` };
  return { check, state: "warning", text: `${where} is used by process ${holder}; another server cannot use it, too.` };
}

/** @returns a path, or where it is not there the nearest folder above it that is. */
async function nearest(path: string): Promise<string> {
  const whole = resolve(path);
  const isThere = await access(whole).then(
    () => true,
    () => false,
  );
  return isThere || dirname(whole) === whole ? whole : nearest(dirname(whole));
}

async function disk(path: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(await nearest(path));
  const free = bavail * bsize;
  const text = `${Math.round(free / 2 ** 20)} MB are free.`;
  return { check: "disk", state: free < LITTLE_SPACE ? "warning" : "ok", text };
}

async function postgres(location: PostgresLocation, auth: Config["auth"]): Promise<readonly Finding[]> {
  try {
    const { prisma, close } = await openPostgres({ ...location, migrates: false });
    try {
      const usable = "It answers, has every migration, and its role may do what the server does.";
      const session = await readSession(prisma);
      return [
        { check: "database", state: "ok", text: usable },
        ...sessionFindings(session, location.poolSize),
        feed(await readLag(prisma)),
        await whoMayAsk(auth, prisma),
      ];
    } finally {
      await close();
    }
  } catch (error) {
    if (error instanceof LacksMigrationsError && location.migrates)
      return [
        { check: "database", state: "warning", text: "It lacks migrations, which the server applies at its start." },
      ];
    return [{ check: "database", state: "failed", text: explain(error) }];
  }
}

/** A server that is not told whom to ask does not start where somebody has made keys. */
async function whoMayAsk(auth: Config["auth"], prisma: PrismaClient): Promise<Finding> {
  const check = "auth";
  if (auth === "required") return { check, state: "ok", text: "Everybody is asked for a credential." };
  if (auth === "off") return { check, state: "ok", text: "Nobody is asked who they are: AUTH=off." };
  try {
    await assertMayBeOpen(prisma);
  } catch (error) {
    return { check, state: "failed", text: explain(error) };
  }
  return { check, state: "ok", text: "Nobody is asked who they are, and nobody has an API key." };
}

function sessionFindings(session: Session, poolSize: number): readonly Finding[] {
  const { version, roundTripMs, clockDifferenceMs, maxConnections, usedConnections, bytes } = session;
  // Beside the pool: one for notify hints, one while it migrates.
  const wanted = poolSize + 2;
  const left = maxConnections - usedConnections;
  return [
    { check: "version", state: "ok", text: `PostgreSQL ${version}.` },
    {
      check: "round trip",
      state: roundTripMs > LONG_ROUND_TRIP_MS ? "warning" : "ok",
      text: `A statement takes ${roundTripMs.toFixed(1)} ms. Every request takes several: run the server near its database.`,
    },
    {
      check: "clock",
      state: Math.abs(clockDifferenceMs) > CLOCK_DIFFERENCE_MS ? "warning" : "ok",
      text: `This machine's clock differs from the database's by ${Math.round(clockDifferenceMs)} ms.`,
    },
    {
      check: "connections",
      state: left < wanted ? "warning" : "ok",
      text: `A server uses up to ${wanted}; ${usedConnections} of ${maxConnections} are in use.`,
    },
    { check: "size", state: "ok", text: `The database has ${Math.round(bytes / 2 ** 20)} MB.` },
  ];
}

function feed({ behindMs, heldBackBy }: Awaited<ReturnType<typeof readLag>>): Finding {
  const held = heldBackBy === null ? "" : ` It is held back by ${heldBackBy}.`;
  return {
    check: "feed",
    state: behindMs > MAX_LAG_MS ? "warning" : "ok",
    text: `Changes are seen ${behindMs} ms after they were made, at worst.${held}`,
  };
}
