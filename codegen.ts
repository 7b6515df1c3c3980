import type { CodegenConfig } from "@graphql-codegen/cli";

const types = {
  scalars: { UUID: "string", DateTime: "string", JSON: "unknown", SafeInt: "number", Cursor: "string" },
  strictScalars: true,
  enumsAsTypes: true,
  useTypeImports: true,
  skipTypename: true,
  avoidOptionals: { field: true },
  onlyOperationTypes: true,
};

/** Operations of three places, each checked against the schema. */
const config: CodegenConfig = {
  schema: "schema.graphql",
  ignoreNoDocuments: true,
  importExtension: ".ts",
  generates: {
    // Tests and examples, which write each operation as `graphql(...)` with a name of its own.
    "test/generated/": {
      documents: ["test/**/*.ts", "examples/**/*.ts", "!test/generated/**"],
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: types,
    },
    // The TypeScript kit, which has them in files, and ships them.
    "clients/typescript/src/api/generated.ts": {
      documents: ["clients/typescript/src/api/operations/*.graphql"],
      plugins: ["typescript", "typescript-operations", "./clients/typescript/documents-plugin.mjs"],
      config: types,
    },
    // What the console asks beyond the kit's operations.
    "console/src/api/generated.ts": {
      documents: ["console/src/**/*.graphql", "clients/typescript/src/api/operations/fragments.graphql"],
      plugins: ["typescript", "typescript-operations", "./clients/typescript/documents-plugin.mjs"],
      config: { ...types, documentModule: "@ai-job-server/sdk/client" },
    },
    // All of these for the server, which may execute trusted documents alone.
    "src/http/own-documents.ts": {
      documents: ["clients/typescript/src/api/operations/*.graphql", "console/src/**/*.graphql"],
      plugins: ["./clients/own-documents-plugin.mjs"],
    },
    // The kit's operations for the Python kit, but for those of tools.
    "clients/python/src/ai_job_server/operations.py": {
      documents: ["clients/typescript/src/api/operations/!(operate).graphql"],
      plugins: ["./clients/python/documents-plugin.mjs"],
    },
  },
};

export default config;
