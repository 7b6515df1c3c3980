import { writeFileSync } from "node:fs";
import { schema } from "../../src/graphql/schema.ts";
import { printSdl } from "../../src/graphql/sdl.ts";
import { expectedMatrix, MATRIX_FILE, matrixDocument } from "../identity/matrix.ts";
import { API_REFERENCE_FILE, apiReference } from "./api-reference.ts";
import { PERMISSIONS_FILE, permissionsDocument } from "./permissions.ts";
import { SCHEMA_FILE } from "./schema-text.ts";

writeFileSync(SCHEMA_FILE, printSdl(schema));
writeFileSync(API_REFERENCE_FILE, apiReference());
writeFileSync(PERMISSIONS_FILE, permissionsDocument(schema));
writeFileSync(MATRIX_FILE, matrixDocument(expectedMatrix(schema), schema));
