import { writeFileSync } from "node:fs";
import { migratedSchemaSql, SCHEMA_SQL_FILE } from "./schema-sql.ts";

writeFileSync(SCHEMA_SQL_FILE, await migratedSchemaSql());
