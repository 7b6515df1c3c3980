import type pg from "pg";
import { DatabaseError } from "./database-error.ts";
import type { Prisma } from "./generated/client/client.ts";

/**
 * What the server does with each table, and so what its role must be allowed to do; nothing else needs to be granted.
 * docs/operating.md has the statements: one test compares them, another starts a server as a role that has nothing but these.
 */
const NEEDED = {
  Workspace: { table: "workspaces", privileges: "SELECT, INSERT, UPDATE" },
  ApiKey: { table: "api_keys", privileges: "SELECT, INSERT, UPDATE" },
  Session: { table: "sessions", privileges: "SELECT, INSERT, DELETE" },
  CapabilityProfile: { table: "capability_profiles", privileges: "SELECT" },
  AiJob: { table: "ai_jobs", privileges: "SELECT, INSERT, UPDATE" },
  JobLabel: { table: "job_labels", privileges: "SELECT, INSERT" },
  WorkflowRun: { table: "workflow_runs", privileges: "SELECT, INSERT, UPDATE" },
  NodeExecution: { table: "node_executions", privileges: "SELECT, INSERT, UPDATE" },
  UserInputRequest: { table: "user_input_requests", privileges: "SELECT, INSERT, UPDATE" },
  FlightRecorderEvent: { table: "flight_recorder_events", privileges: "SELECT, INSERT" },
  EventLog: { table: "event_log", privileges: "SELECT, UPDATE" },
  WorkerReport: { table: "worker_reports", privileges: "SELECT, INSERT" },
  UsageEntry: { table: "usage_entries", privileges: "SELECT, INSERT" },
  OutputChunk: { table: "output_chunks", privileges: "SELECT, INSERT, DELETE" },
  Quota: { table: "quotas", privileges: "SELECT, INSERT, UPDATE, DELETE" },
  JobTotal: { table: "job_totals", privileges: "SELECT, INSERT, UPDATE, DELETE" },
  UsageLabel: { table: "usage_labels", privileges: "SELECT, INSERT, DELETE" },
  UsageInterval: { table: "usage_intervals", privileges: "SELECT, INSERT, UPDATE, DELETE" },
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

/**
 * @param role the server's role, quoted.
 * @returns the statements that give a role what the server needs, and nothing else. To repeat them changes nothing.
 */
export function grantsTo(role: string): string {
  const tables = Object.values(NEEDED).map(({ table, privileges }) => `GRANT ${privileges} ON ${table} TO ${role};`);
  return [`GRANT USAGE ON SCHEMA public TO ${role};`, `GRANT SELECT ON _prisma_migrations TO ${role};`, ...tables].join(
    "\n",
  );
}

/**
 * Row-level security holds for no superuser, for no role with BYPASSRLS, and for an owner only as long as it leaves the tables as
 * they are: a server that asks who calls must not work as one of these (section 11).
 * @throws DatabaseError that says which of them its role is, and what to do.
 */
export async function assertOwnRole(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ role: string; isSuperuser: boolean; bypasses: boolean; owner: string | null }>(
    `SELECT quote_ident(current_user) AS role, rolsuper AS "isSuperuser", rolbypassrls AS bypasses,
       (SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class
        WHERE relname = ANY ($1) AND relnamespace = 'public'::regnamespace AND pg_has_role(current_user, relowner, 'MEMBER')
        LIMIT 1) AS owner
     FROM pg_roles WHERE rolname = current_user`,
    [Object.values(NEEDED).map(({ table }) => table)],
  );
  const [row] = rows;
  if (!row) throw new Error("A session's role is in pg_roles.");
  const { role, isSuperuser, bypasses, owner } = row;
  const fault = isSuperuser
    ? "is a superuser"
    : bypasses
      ? "has BYPASSRLS"
      : owner === null
        ? undefined
        : `owns the tables, or is a member of ${owner}, which does`;
  if (fault === undefined) return;
  throw new DatabaseError(
    `The role ${role} ${fault}: row-level security would not hold for it, and this server asks who calls. Make a role for the ` +
      "server (CREATE ROLE jobs_server LOGIN PASSWORD '...'), name it in DATABASE_URL, and put the address with the owner's role " +
      "into MIGRATE_DATABASE_URL: the server then migrates by that one, and grants the other what it needs.",
  );
}
