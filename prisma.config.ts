import { fileURLToPath } from "node:url";
import { defineConfig } from "prisma/config";

// The CLI looks for a schema-engine binary, and downloads one, before every command. `generate` never starts it,
// so any existing file will do there, and `npm run generate` and `npm run check` need no network. `prisma migrate`
// is left alone: it still fetches its engine.
if (process.argv.includes("generate")) {
  process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= fileURLToPath(import.meta.url);
}

export default defineConfig({
  schema: "prisma/schema.prisma",
  migrations: { path: "prisma/migrations" },
  ...(process.env.DATABASE_URL ? { datasource: { url: process.env.DATABASE_URL } } : {}),
});
