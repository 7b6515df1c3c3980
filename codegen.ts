import type { CodegenConfig } from "@graphql-codegen/cli";

/** Typed documents for the operations of tests and examples, each written as `graphql(...)` with a name of its own. */
const config: CodegenConfig = {
  schema: "schema.graphql",
  documents: ["test/**/*.ts", "examples/**/*.ts", "!test/generated/**"],
  ignoreNoDocuments: true,
  importExtension: ".ts",
  generates: {
    "test/generated/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        scalars: { UUID: "string", DateTime: "string", JSON: "unknown", SafeInt: "number", Cursor: "string" },
        strictScalars: true,
        enumsAsTypes: true,
        useTypeImports: true,
        skipTypename: true,
        avoidOptionals: { field: true },
        onlyOperationTypes: true,
      },
    },
  },
};

export default config;
