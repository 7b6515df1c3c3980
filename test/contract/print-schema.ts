import { writeFileSync } from "node:fs";
import { schema } from "../../src/graphql/schema.ts";
import { printSdl } from "../../src/graphql/sdl.ts";
import { PERMISSIONS_FILE, permissionsDocument } from "./permissions.ts";
import { SCHEMA_FILE } from "./schema-text.ts";

writeFileSync(SCHEMA_FILE, printSdl(schema));
writeFileSync(PERMISSIONS_FILE, permissionsDocument(schema));
