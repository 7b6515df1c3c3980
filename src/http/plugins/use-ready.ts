import { setTimeout as sleep } from "node:timers/promises";
import type { Plugin } from "graphql-yoga";
import { unavailability } from "../../db/availability.ts";
import type { PrismaClient } from "../../db/generated/client/client.ts";
import { allWorkspaces, NO_WORKSPACE, within } from "../../db/scope.ts";
import type { CommandContext } from "../../db/transaction.ts";

const ENDPOINT = "/ready";
/** Milliseconds that the database may take to answer. */
const TIMEOUT_MS = 2000;

/** The JSON of GET /ready. */
interface Readiness {
  readonly ready: boolean;
  /** Why it is not ready. */
  readonly reason?: string;
}

/**
 * Serves GET /ready for load balancers and deployments: 200 where writes succeed, otherwise 503 with the reason. A server
 * whose database can only be read is alive and healthy, but of no use to a client that submits.
 */
export function useReady(context: CommandContext): Plugin {
  return {
    async onRequest({ request, url, fetchAPI, endResponse }) {
      if (url.pathname !== ENDPOINT || (request.method !== "GET" && request.method !== "HEAD")) return;
      const readiness = await Promise.race([readReadiness(context), late()]);
      const status = readiness.ready ? 200 : 503;
      endResponse(fetchAPI.Response.json(readiness, { status, headers: { "cache-control": "no-store" } }));
    },
  };
}

async function late(): Promise<Readiness> {
  await sleep(TIMEOUT_MS, undefined, { ref: false });
  return { ready: false, reason: "The database does not answer." };
}

/** Looks at what PostgreSQL says of itself; only where a state was met does it write, to see whether that is over. */
async function readReadiness({ prisma, availability }: CommandContext): Promise<Readiness> {
  try {
    const [state] = await within(
      NO_WORKSPACE,
      () => prisma.$queryRaw<{ standby: boolean; readOnly: boolean }[]>`
      SELECT pg_is_in_recovery() AS standby, current_setting('default_transaction_read_only')::boolean AS "readOnly"`,
    );
    if (state?.standby) return { ready: false, reason: "The database is a standby." };
    if (state?.readOnly) return { ready: false, reason: "The database is read-only." };
    if (availability?.reason !== undefined) {
      await within(allWorkspaces("server"), () => writeSomething(prisma));
      availability.over();
    }
    return { ready: true };
  } catch (error) {
    return { ready: false, reason: unavailability(error) ?? "The database does not answer as it should." };
  }
}

/** Milliseconds that looking whether a state is over may take. */
const WRITE_MS = 10_000;

/**
 * Writes a new version of the one row of `event_log`, with the same content; and, because that may fit into a block that is
 * there, a temporary file of a megabyte on the disk of the database, which is gone at once.
 */
async function writeSomething(prisma: PrismaClient): Promise<void> {
  await prisma.$transaction(
    async (tx) => {
      await tx.$executeRaw`UPDATE event_log SET singleton = singleton`;
      await tx.$executeRaw`SELECT set_config('work_mem', '64kB', true), set_config('temp_tablespaces', '', true)`;
      await tx.$executeRaw`SELECT count(*) FROM generate_series(1, 40000)`;
    },
    { timeout: WRITE_MS },
  );
}
