import { Prisma } from "./generated/client/client.ts";

/**
 * Marks a statement, when put at its start: each connection prepares it under a name and keeps it, so that it can be run with a
 * generic plan, which does not depend on the values. Planning the statements of a claim or a report again at every call would
 * take longer than running them. Whether the generic plan is used depends on where the statement runs:
 *
 * - In a transaction it uses the generic plan, because BEGIN also sends `FORCE_GENERIC_PLAN_IN_TRANSACTION`, which applies to
 *   every statement of the transaction, marked or not.
 * - On the embedded database it uses the generic plan outside a transaction, too.
 * - Outside a transaction on PostgreSQL, plan_cache_mode stays auto: five custom plans, then PostgreSQL chooses.
 *
 * Only for statements whose best plan does not depend on their values, and whose text has few variants: a connection keeps a
 * plan for each text until it closes.
 */
export const PREPARE_MARKER = Prisma.raw("/* generic plan */");

/**
 * @returns a function that names prepared statements: a name for each text that starts with `PREPARE_MARKER`, and the
 *   empty name, under which the driver keeps nothing, for any other.
 */
export function preparedStatementNames(): (query: { readonly sql: string }) => string {
  const names = new Map<string, string>();
  return ({ sql }) => {
    if (!sql.trimStart().startsWith(PREPARE_MARKER.sql)) return "";
    const name = names.get(sql) ?? `generic_plan_${names.size + 1}`;
    names.set(sql, name);
    return name;
  };
}

/**
 * Makes a transaction use generic plans from the first call on, until it ends. By default PostgreSQL compares the estimated
 * costs of a generic and a custom plan; its estimates are wrong here, and it would plan a claim of one job again at every call.
 */
export const FORCE_GENERIC_PLAN_IN_TRANSACTION = "SET LOCAL plan_cache_mode = force_generic_plan";

/**
 * Wraps a list of rows that a statement with a generic plan joins to a table, as in
 * `FROM ${estimateFewRows(rows, count)} AS n WHERE t.id = n.id`, so that the planner estimates one row.
 *
 * The planner assumes 100 rows for a list that is a parameter. While `t` is small, a scan of all of `t` then looks cheaper
 * than 100 index look-ups, and the plan would still scan it when the table is large. For a LIMIT that is a parameter the
 * planner assumes a tenth of the rows, so two of them bring 100 down to 1, and it looks up each row by the index of `t`.
 * @param rows what stands after FROM, with its alias.
 * @param count how many rows there are: both limits, so none is left out.
 */
export function estimateFewRows(rows: Prisma.Sql, count: number): Prisma.Sql {
  return Prisma.sql`(SELECT * FROM (SELECT * FROM ${rows} LIMIT ${count}) AS tenth LIMIT ${count})`;
}

/**
 * The planner settings of every session:
 * - No JIT: where the planner overestimates a statement of 2 ms, compiling it takes 100 ms.
 * - No sequential scans, where an index can serve. Every statement here reads few rows by an index, and a plan that was made
 *   while a table was small stays in use when it is large: with sequential scans, a claim of 100 jobs read 10 million rows
 *   of a table with 40,000 jobs.
 */
export const PLANNER_SETTINGS = { jit: "off", enable_seqscan: "off" };
