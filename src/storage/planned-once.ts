import { Prisma } from "./generated/client/client.ts";

/**
 * Begins a statement that each connection plans once, and not again with every call: planning what a claim or a report
 * sends takes longer than running it. Only for statements whose best plan is the same whatever their values are, and
 * whose texts are a few: a connection keeps every one of them.
 */
export const PLANNED_ONCE = Prisma.raw("/* planned once */");

/** Names for prepared statements: one for each such text; none, so that nothing is kept of it, for any other. */
export function statementNames(): (query: { readonly sql: string }) => string {
  const names = new Map<string, string>();
  return ({ sql }) => {
    if (!sql.trimStart().startsWith(PLANNED_ONCE.sql)) return "";
    const name = names.get(sql) ?? `planned_once_${names.size + 1}`;
    names.set(sql, name);
    return name;
  };
}
