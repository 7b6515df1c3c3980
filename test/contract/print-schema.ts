import { writeFileSync } from "node:fs";
import { schema } from "../../src/graphql/schema.ts";
import { printSdl } from "../../src/graphql/sdl.ts";
import { expectedMatrix, MATRIX_FILE, matrixDocument } from "../identity/matrix.ts";
import { PERMISSIONS_FILE, permissionsDocument } from "./permissions.ts";
import { SCHEMA_FILE } from "./schema-text.ts";

writeFileSync(SCHEMA_FILE, printSdl(schema));
writeFileSync(PERMISSIONS_FILE, permissionsDocument(schema));
writeFileSync(MATRIX_FILE, matrixDocument(expectedMatrix(schema), schema));
