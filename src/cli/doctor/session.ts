import type { PrismaClient } from "../../db/generated/client/client.ts";
import { NO_WORKSPACE, within } from "../../db/scope.ts";

/** What a session of PostgreSQL says of its server. */
export interface Session {
  readonly version: string;
  /** The least of several, in milliseconds. */
  readonly roundTripMs: number;
  /** This machine's time less the database's. */
  readonly clockDifferenceMs: number;
  readonly maxConnections: number;
  readonly usedConnections: number;
  /** The size of the database. */
  readonly bytes: number;
}

type Row = Omit<Session, "roundTripMs" | "clockDifferenceMs"> & { readonly now: number };

const TRIPS = 5;

export async function readSession(prisma: PrismaClient): Promise<Session> {
  let roundTripMs = Number.POSITIVE_INFINITY;
  for (let trip = 0; trip < TRIPS; trip += 1) {
    const sent = performance.now();
    await within(NO_WORKSPACE, () => prisma.$queryRaw`SELECT 1`);
    roundTripMs = Math.min(roundTripMs, performance.now() - sent);
  }
  const [row] = await within(
    NO_WORKSPACE,
    () => prisma.$queryRaw<Row[]>`
      SELECT current_setting('server_version') AS version, current_setting('max_connections')::int AS "maxConnections",
        (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS "usedConnections",
        pg_database_size(current_database())::float8 AS bytes,
        (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now`,
  );
  if (!row) throw new Error("A SELECT without FROM returns a row.");
  const { now, ...session } = row;
  return { ...session, roundTripMs, clockDifferenceMs: Date.now() - roundTripMs / 2 - now };
}
