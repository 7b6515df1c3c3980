import { z } from "zod";
import { Prisma, type PrismaClient } from "../../../src/db/generated/client/client.ts";
import { CHAIN_START } from "../../../src/log/hash.ts";

/** The tables that are of no workspace: of the whole deployment, or of the server itself. */
const OF_NO_WORKSPACE: readonly string[] = [
  "_prisma_migrations",
  "capability_profiles",
  "event_log",
  "totals_position",
];

const ID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{64}/g;

/** @returns all rows of a workspace as text, by table; without when its keys were last used, which its own requests change. */
export async function rowsOf(prisma: PrismaClient, workspaceId: string): Promise<Readonly<Record<string, string>>> {
  const tables = await prisma.$queryRaw<{ name: string; isScoped: boolean }[]>`
    SELECT t.table_name AS name, c.column_name IS NOT NULL AS "isScoped"
    FROM information_schema.tables t LEFT JOIN information_schema.columns c
      ON c.table_schema = t.table_schema AND c.table_name = t.table_name AND c.column_name = 'workspace_id'
    WHERE t.table_schema = 'public' AND t.table_type = 'BASE TABLE' ORDER BY 1`;
  const others = tables.filter(({ isScoped }) => !isScoped).map(({ name }) => name);
  const unknown = others.filter((name) => !OF_NO_WORKSPACE.includes(name));
  if (unknown.length > 0)
    throw new Error(`These tables have no workspace_id, and nobody said why: ${unknown.join(", ")}`);
  const rows = [];
  for (const { name } of tables.filter(({ isScoped }) => isScoped)) {
    const [row] = await prisma.$queryRaw<{ text: string }[]>`
      SELECT coalesce(string_agg(line, E'\\n' ORDER BY line), '') AS text
      FROM ${Prisma.raw(`"${name}"`)} t, LATERAL (SELECT (to_jsonb(t) - 'last_used_at')::text AS line) AS lines
      WHERE workspace_id = ${workspaceId}::uuid`;
    rows.push([name, z.object({ text: z.string() }).parse(row).text] as const);
  }
  return Object.fromEntries(rows);
}

/** @returns all ids and hashes that stand in a text, but for the hash from which every chain begins. */
export function idsIn(text: string): ReadonlySet<string> {
  return new Set((text.match(ID) ?? []).filter((id) => id !== CHAIN_START));
}
