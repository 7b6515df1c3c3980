import { Prisma } from "./generated/client/client.ts";

/**
 * Begins a statement that each connection plans once, and not again with every call: planning what a claim or a report
 * sends takes longer than running it. Only for statements whose best plan is the same whatever their values are, and
 * whose texts are a few: a connection keeps every one of them.
 */
export const FORCED_GENERIC_PLAN = Prisma.raw("/* generic plan */");

/** Names for prepared statements: one for each such text; none, so that nothing is kept of it, for any other. */
export function preparedStatementNames(): (query: { readonly sql: string }) => string {
  const names = new Map<string, string>();
  return ({ sql }) => {
    if (!sql.trimStart().startsWith(FORCED_GENERIC_PLAN.sql)) return "";
    const name = names.get(sql) ?? `generic_plan_${names.size + 1}`;
    names.set(sql, name);
    return name;
  };
}

/**
 * Makes a transaction plan such statements once whatever their values are. Left to itself, PostgreSQL compares costs that it
 * cannot know, and plans a claim of one job anew each time.
 */
export const SET_GENERIC_PLAN = "SET LOCAL plan_cache_mode = force_generic_plan";

/**
 * A table by whose rows a statement that is planned once finds others: `FROM ${few(rows, count)} AS n WHERE t.id = n.id`.
 * Of a list that it does not know PostgreSQL expects 100 rows; while `t` is small, reading all of it then looks cheaper
 * than finding a hundred, and what was planned so would still read all of it when it is large. Of a LIMIT that it does
 * not know it expects a tenth, and so of these two one row: then it finds each by its index, whatever there is in `t`.
 */
export function estimateFewRows(rows: Prisma.Sql, count: number): Prisma.Sql {
  return Prisma.sql`(SELECT * FROM (SELECT * FROM ${rows} LIMIT ${count}) AS tenth LIMIT ${count})`;
}

/**
 * How every session plans: without JIT, which compiles for 100 ms where the planner takes a statement of 2 ms for a long
 * one, and without reading whole tables. Every statement here reads a few rows by an index, and what was planned while a
 * table was small is still run when it is large: a claim of 100 jobs then read 10 million rows of a table with 40,000 jobs.
 */
export const PLANNER_SETTINGS = { jit: "off", enable_seqscan: "off" };
