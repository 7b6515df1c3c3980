import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { SCHEMA_FILE } from "../../src/db/schema-engine.ts";

/** What Prisma and Pothos generate from prisma/schema.prisma: committed, because production has no generator. */
const GENERATED = "src/db/generated";
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PRISMA = join(ROOT, "node_modules/prisma/build/index.js");

/** @returns the files of the database client that are not what `prisma generate` makes now; paths from its folder. */
export function staleClientFiles(): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), "ai-job-server-client-"));
  try {
    // The generators write to paths that are relative to the schema's own.
    const schema = join(folder, relative(ROOT, SCHEMA_FILE));
    cpSync(SCHEMA_FILE, schema);
    execFileSync(process.execPath, [PRISMA, "generate", "--no-hints", "--schema", schema], {
      cwd: ROOT,
      stdio: "pipe",
    });
    const [made, committed] = [textsBelow(join(folder, GENERATED)), textsBelow(join(ROOT, GENERATED))];
    return [...new Set([...made.keys(), ...committed.keys()])].filter((file) => made.get(file) !== committed.get(file));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function textsBelow(folder: string): ReadonlyMap<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  return new Map(files.map((file) => [relative(folder, file), readFileSync(file, "utf8")]));
}
