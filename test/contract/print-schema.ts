import { writeFileSync } from "node:fs";
import { schema } from "../../src/graphql/schema.ts";
import { printed, SCHEMA_FILE } from "./schema-text.ts";

writeFileSync(SCHEMA_FILE, printed(schema));
