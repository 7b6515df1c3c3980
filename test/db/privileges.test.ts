import { expect, test } from "vitest";
import { grantsTo } from "../../src/db/privileges.ts";
import { readText } from "../support/documents.ts";

/** What a role may do with each table. USAGE of the schema is left out: every role has it on the schema `public`. */
function tableGrants(sql: string): readonly string[] {
  return [...sql.matchAll(/^GRANT ([A-Z, ]+) ON (?!SCHEMA )([\w, ]+) TO jobs_server;$/gm)]
    .flatMap(([, privileges = "", tables = ""]) => tables.split(", ").map((table) => `${privileges} ON ${table}`))
    .toSorted();
}

test("docs/operating.md grants what the start grants, table by table, and nothing else", () => {
  const granted = tableGrants(grantsTo("jobs_server"));
  expect(granted).toContain("SELECT, INSERT, UPDATE ON ai_jobs");
  expect(tableGrants(readText("docs/operating.md"))).toEqual(granted);
});
