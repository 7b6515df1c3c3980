import type pg from "pg";
import { DatabaseError } from "./database-error.ts";
import type { Prisma } from "./generated/client/client.ts";

/**
 * What the server does with each table, and so what its role must be allowed to do; nothing else needs to be granted.
 * docs/operating.md has the statements, and a test starts a server as a role that has nothing but these.
 */
const NEEDED = {
  Workspace: { table: "workspaces", privileges: "SELECT, INSERT, UPDATE" },
  ApiKey: { table: "api_keys", privileges: "SELECT, INSERT, UPDATE" },
  CapabilityProfile: { table: "capability_profiles", privileges: "SELECT" },
  AiJob: { table: "ai_jobs", privileges: "SELECT, INSERT, UPDATE" },
  WorkflowRun: { table: "workflow_runs", privileges: "SELECT, INSERT, UPDATE" },
  NodeExecution: { table: "node_executions", privileges: "SELECT, INSERT, UPDATE" },
  FlightRecorderEvent: { table: "flight_recorder_events", privileges: "SELECT, INSERT" },
  EventLog: { table: "event_log", privileges: "SELECT, UPDATE" },
  WorkerReport: { table: "worker_reports", privileges: "SELECT, INSERT" },
  Quota: { table: "quotas", privileges: "SELECT, INSERT, UPDATE, DELETE" },
  JobTotal: { table: "job_totals", privileges: "SELECT, INSERT, UPDATE, DELETE" },
  UsageMinute: { table: "usage_minutes", privileges: "SELECT, INSERT, UPDATE, DELETE" },
  TotalsPosition: { table: "totals_position", privileges: "SELECT, UPDATE" },
  BulkAction: { table: "bulk_actions", privileges: "SELECT, INSERT, UPDATE" },
  BulkActionItem: { table: "bulk_action_items", privileges: "SELECT, INSERT, UPDATE" },
} as const satisfies Record<Prisma.ModelName, { readonly table: string; readonly privileges: string }>;

/** @throws DatabaseError that names every privilege that the session's role lacks, with the statements that grant it. */
export async function assertPrivileges(client: pg.ClientBase): Promise<void> {
  const tables = Object.values(NEEDED);
  const needed = tables.flatMap(({ table, privileges }) =>
    privileges.split(", ").map((privilege) => ({ table, privilege })),
  );
  const { rows } = await client.query<{ role: string; table: string; privilege: string }>(
    `SELECT quote_ident(current_user) AS role, "table", privilege
     FROM json_to_recordset($1) AS needed("table" text, privilege text)
     WHERE NOT has_table_privilege(to_regclass("table"), privilege)`,
    [JSON.stringify(needed)],
  );
  const [lacking] = rows;
  if (!lacking) return;
  const statements = tables.flatMap(({ table }) => {
    const privileges = rows.filter((row) => row.table === table).map(({ privilege }) => privilege);
    return privileges.length === 0 ? [] : [`  GRANT ${privileges.join(", ")} ON ${table} TO ${lacking.role};`];
  });
  throw new DatabaseError(
    `The role ${lacking.role} lacks privileges that the server needs. As the owner of the tables, run:\n${statements.join("\n")}`,
  );
}
