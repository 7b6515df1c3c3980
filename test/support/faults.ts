import type { Database } from "../../src/db/database.ts";
import { type Prisma, Prisma as PrismaNamespace } from "../../src/db/generated/client/client.ts";

/**
 * Injects faults into the server's transactions by triggers: wherever a statement of `poisonJob` begins, writes a row
 * or ends, and at COMMIT.
 */

export interface FaultPoint {
  readonly at: string;
  readonly on:
    | "workflow_runs"
    | "node_executions"
    | "ai_jobs"
    | "flight_recorder_events"
    | "output_chunks"
    | "quotas"
    | "usage_labels"
    | BulkTable;
  /** When the trigger fires: BEFORE or AFTER the row or the statement; at COMMIT, by a deferred constraint trigger. */
  readonly when: "BEFORE STATEMENT" | "BEFORE ROW" | "AFTER ROW" | "AFTER STATEMENT" | "COMMIT";
}

/** For an action, the fault is at its INSERT; for an item, at the UPDATE that stores its result. */
type BulkTable = "bulk_actions" | "bulk_action_items";

/** In the order in which `poisonJob` reaches them. */
export const FAULT_POINTS: readonly FaultPoint[] = [
  { at: "before the runs", on: "workflow_runs", when: "BEFORE STATEMENT" },
  { at: "before a run is written", on: "workflow_runs", when: "BEFORE ROW" },
  { at: "after a run is written", on: "workflow_runs", when: "AFTER ROW" },
  { at: "after the runs", on: "workflow_runs", when: "AFTER STATEMENT" },
  { at: "before the nodes", on: "node_executions", when: "BEFORE STATEMENT" },
  { at: "before a node is written", on: "node_executions", when: "BEFORE ROW" },
  { at: "after a node is written", on: "node_executions", when: "AFTER ROW" },
  { at: "after the nodes", on: "node_executions", when: "AFTER STATEMENT" },
  { at: "before the job", on: "ai_jobs", when: "BEFORE STATEMENT" },
  { at: "before the job's row is written", on: "ai_jobs", when: "BEFORE ROW" },
  { at: "after the job's row is written", on: "ai_jobs", when: "AFTER ROW" },
  { at: "after the job", on: "ai_jobs", when: "AFTER STATEMENT" },
  { at: "before the event", on: "flight_recorder_events", when: "BEFORE STATEMENT" },
  { at: "before the event's row is written", on: "flight_recorder_events", when: "BEFORE ROW" },
  { at: "after the event's row is written", on: "flight_recorder_events", when: "AFTER ROW" },
  { at: "after the event", on: "flight_recorder_events", when: "AFTER STATEMENT" },
  { at: "before the output", on: "output_chunks", when: "BEFORE STATEMENT" },
  { at: "after the output", on: "output_chunks", when: "AFTER STATEMENT" },
  { at: "at COMMIT, when the runs are checked", on: "workflow_runs", when: "COMMIT" },
  { at: "at COMMIT, when the nodes are checked", on: "node_executions", when: "COMMIT" },
  { at: "at COMMIT, when the job is checked", on: "ai_jobs", when: "COMMIT" },
  { at: "at COMMIT, when the event is checked", on: "flight_recorder_events", when: "COMMIT" },
];

/** Tables whose fault is at an INSERT. */
const FAULT_AT_INSERT: ReadonlySet<string> = new Set(["flight_recorder_events", "bulk_actions"]);

/**
 * Does `work` with a fault in place, and removes the fault afterwards.
 * @param body the trigger's statements, in PL/pgSQL. NEW is a row only if the fault point is one of a row.
 */
export async function withFault<T>(
  { prisma }: Pick<Database, "prisma">,
  { on, when }: FaultPoint,
  body: string,
  work: () => Promise<T>,
): Promise<T> {
  await createTriggerFunction(prisma, "test_fault", body);
  const [timing, level] = when === "COMMIT" ? ["AFTER", "ROW"] : when.split(" ");
  const event =
    on === "quotas" || on === "usage_labels" || on === "output_chunks"
      ? "INSERT OR DELETE"
      : FAULT_AT_INSERT.has(on)
        ? "INSERT"
        : "UPDATE";
  const isAtCommit = when === "COMMIT";
  await prisma.$executeRawUnsafe(
    `CREATE ${isAtCommit ? "CONSTRAINT" : ""} TRIGGER zz_test_fault ${timing} ${event} ON ${on}
     ${isAtCommit ? "DEFERRABLE INITIALLY DEFERRED" : ""} FOR EACH ${level} EXECUTE FUNCTION test_fault()`,
  );
  try {
    return await work();
  } finally {
    await prisma.$executeRawUnsafe(`DROP TRIGGER zz_test_fault ON ${on}`);
  }
}

/**
 * Like `withFault`, but in the statement that locks the job. No trigger fires there; but once it has the row, it calls
 * `current_order_xid`, which is replaced for as long as `work` runs.
 */
export async function withFaultAtLock<T>(
  { prisma }: Pick<Database, "prisma">,
  body: string,
  work: () => Promise<T>,
): Promise<T> {
  const [original] = await prisma.$queryRaw<{ sql: string }[]>(
    PrismaNamespace.sql`SELECT pg_get_functiondef('current_order_xid()'::regprocedure) AS sql`,
  );
  if (!original) throw new Error("The function current_order_xid() does not exist.");
  await prisma.$executeRawUnsafe(
    `CREATE OR REPLACE FUNCTION current_order_xid() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $fault$
     BEGIN ${body}; RETURN pg_current_xact_id()::text::bigint; END $fault$`,
  );
  try {
    return await work();
  } finally {
    await prisma.$executeRawUnsafe(original.sql);
  }
}

async function createTriggerFunction(prisma: Prisma.TransactionClient, name: string, body: string): Promise<void> {
  await prisma.$executeRawUnsafe(
    `CREATE OR REPLACE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $fault$
     BEGIN ${body}; RETURN NEW; END $fault$`,
  );
}

/**
 * A trigger's body that raises this SQLSTATE the first `times` times that it is reached, and counts how often that is.
 */
export async function raising({ prisma }: Pick<Database, "prisma">, sqlState: string, times = 1000): Promise<string> {
  await prisma.$executeRawUnsafe("DROP SEQUENCE IF EXISTS test_fault_calls");
  await prisma.$executeRawUnsafe("CREATE SEQUENCE test_fault_calls");
  await prisma.$executeRawUnsafe("GRANT USAGE ON SEQUENCE test_fault_calls TO PUBLIC");
  return `IF nextval('test_fault_calls') <= ${times} THEN
            RAISE EXCEPTION 'injected by a test' USING ERRCODE = '${sqlState}'; END IF`;
}

/** How often the fault of `raising` was reached. A sequence counts it, because a rollback does not reset a sequence. */
export async function faultCalls({ prisma }: Pick<Database, "prisma">): Promise<number> {
  const [row] = await prisma.$queryRaw<{ calls: bigint }[]>`
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS calls FROM test_fault_calls`;
  return Number(row?.calls ?? 0);
}

/** Does `work` while every change of a job is refused with a serialization failure, as if other transactions won. */
export async function whileJobsAreBusy<T>(database: Pick<Database, "prisma">, work: () => Promise<T>): Promise<T> {
  const point = { at: "before the job's row is written", on: "ai_jobs", when: "BEFORE ROW" } as const;
  return withFault(database, point, await raising(database, "40001"), work);
}
