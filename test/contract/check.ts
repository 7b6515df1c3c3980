// What is written down twice must agree: `npm run check` ends with this.
import { readFileSync } from "node:fs";
import { drift } from "../../src/db/migrate.ts";
import { createPglite } from "../../src/db/pglite.ts";
import { PgliteAdapterFactory } from "../../src/db/pglite-adapter.ts";
import { schema } from "../../src/graphql/schema.ts";
import { printSdl } from "../../src/graphql/sdl.ts";
import { expectedMatrix, MATRIX_FILE, matrixDocument } from "../identity/matrix.ts";
import { API_REFERENCE_FILE, apiReference } from "./api-reference.ts";
import { contractViolations } from "./contract.ts";
import { staleClientFiles } from "./database-client.ts";
import { PERMISSIONS_FILE, permissionsDocument } from "./permissions.ts";
import { ACCEPTED_BREAKS, breaksSince } from "./released.ts";
import { migratedSchemaSql, SCHEMA_SQL_FILE } from "./schema-sql.ts";
import { CONTRACT_FILE, RELEASED_FILE, readSchema, SCHEMA_FILE } from "./schema-text.ts";

const complaints = [
  ...staleSchema(),
  ...staleApiReference(),
  ...stalePermissions(),
  ...staleMatrix(),
  ...brokenPromises(),
  ...(await brokenClients()),
  ...(await schemaDrift()),
  ...(await staleSchemaSql()),
  ...staleClient(),
];
if (complaints.length > 0) {
  process.stderr.write(`${complaints.join("\n\n")}\n`);
  process.exitCode = 1;
}

function staleSchema(): string[] {
  return readFileSync(SCHEMA_FILE, "utf8") === printSdl(schema)
    ? []
    : ["schema.graphql is not what the code says. Run `npm run schema:print`, and read the difference."];
}

function staleApiReference(): string[] {
  return readFileSync(API_REFERENCE_FILE, "utf8") === apiReference()
    ? []
    : ["docs/api-reference.md is not what schema.graphql says. Run `npm run schema:print`."];
}

function stalePermissions(): string[] {
  return readFileSync(PERMISSIONS_FILE, "utf8") === permissionsDocument(schema)
    ? []
    : ["docs/permissions.md is not what the code says. Run `npm run schema:print`, and read the difference."];
}

function staleMatrix(): string[] {
  return readFileSync(MATRIX_FILE, "utf8") === matrixDocument(expectedMatrix(schema), schema)
    ? []
    : ["test/identity/matrix.md is not what the code says. Run `npm run schema:print`, and read the difference."];
}

function brokenPromises(): string[] {
  const found = contractViolations(readSchema(CONTRACT_FILE), readSchema(SCHEMA_FILE));
  return found.length === 0
    ? []
    : [`schema.graphql is not what test/contract/api.graphql promises:\n${found.join("\n")}`];
}

async function brokenClients(): Promise<string[]> {
  const found = await breaksSince(readSchema(RELEASED_FILE), readSchema(SCHEMA_FILE), ACCEPTED_BREAKS);
  return found.length === 0
    ? []
    : [
        "schema.graphql breaks clients of the last release, test/contract/released.graphql. Before the first release, run " +
          `\`npm run schema:release\`; after it, undo this, or list it in test/contract/released.ts:\n${found.join("\n")}`,
      ];
}

async function staleSchemaSql(): Promise<string[]> {
  return readFileSync(SCHEMA_SQL_FILE, "utf8") === (await migratedSchemaSql())
    ? []
    : ["prisma/schema.sql is not what prisma/migrations make. Run `npm run schema:sql`, and read the difference."];
}

async function schemaDrift(): Promise<string[]> {
  const database = await createPglite();
  try {
    const sql = await drift(new PgliteAdapterFactory(database));
    return sql === "" ? [] : [`prisma/schema.prisma says this, and prisma/migrations do not make it:\n${sql}`];
  } finally {
    await database.close();
  }
}

function staleClient(): string[] {
  const files = staleClientFiles();
  return files.length === 0
    ? []
    : [`src/db/generated is not what prisma/schema.prisma makes. Run \`npm run generate\`:\n${files.join("\n")}`];
}
