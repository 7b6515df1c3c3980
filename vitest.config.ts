import { defineConfig } from "vitest/config";

/**
 * Three groups of files:
 * - `*.test.ts` needs no database, or opens what it needs itself;
 * - `*.store.test.ts` is about what every store must do, and runs on the embedded one and on PostgreSQL;
 * - `*.postgres.test.ts` is about what only several connections show, and runs on PostgreSQL.
 */
const onPostgres = process.env.TEST_DATABASE_URL !== undefined || process.env.CI !== undefined;
const stores = ["test/**/*.store.test.ts"];
const postgresOnly = ["test/**/*.postgres.test.ts"];

if (!onPostgres) {
  process.stderr.write(
    "TEST_DATABASE_URL is not set: the tests on PostgreSQL are left out, everything else runs on the embedded store.\n" +
      "To run them: TEST_DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres npm test\n",
  );
}

/** Vite would load graphql's ES build and Node its CommonJS build for the libraries: two copies do not mix. */
const resolve = { alias: [{ find: /^graphql$/, replacement: "graphql/index.js" }] };

/** Measures how long a real process takes to start: run after the others, with the machine to itself. */
const alone = ["test/storage/embedded.test.ts"];

const common = { testTimeout: 30_000, hookTimeout: 60_000 };

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        resolve,
        test: {
          ...common,
          name: "plain",
          include: ["test/**/*.test.ts"],
          exclude: [...stores, ...postgresOnly, ...alone],
        },
      },
      { resolve, test: { ...common, name: "alone", include: alone, sequence: { groupOrder: 1 } } },
      { resolve, test: { ...common, name: "embedded", include: stores, env: { TEST_STORE: "embedded" } } },
      ...(onPostgres
        ? [
            {
              resolve,
              test: {
                ...common,
                name: "postgres",
                include: [...stores, ...postgresOnly],
                env: { TEST_STORE: "postgres" },
              },
            },
          ]
        : []),
    ],
  },
});
