import { defineConfig } from "vitest/config";
import { SCRATCH_BUILD_NAMES, scratchBuild } from "./test/identity/scratch-build.ts";

/**
 * Groups of files:
 * - `*.test.ts` needs no database, or opens what it needs itself;
 * - `*.store.test.ts` is about what every store must do, and runs on the embedded one and on PostgreSQL;
 * - `*.postgres.test.ts` is about what only several connections show, and runs on PostgreSQL;
 * - `*.redis.test.ts` is about several servers with Redis between them, and runs on PostgreSQL and Redis;
 * - `*.operate.test.ts` is about what an operator's PostgreSQL servers and poolers do: it makes its own, as the user `postgres`;
 * - `*.nodes.test.ts` is about other versions of Node, which it gets from npm;
 * - `*.python.test.ts` is about the kit for Python, and needs Python 3.10 or later;
 * - `*.browser.test.ts` is about several servers and a real browser, and runs on PostgreSQL and Chromium;
 * - `*.console.test.ts` is about the console in a real browser, on both stores.
 */
const inCi = process.env.CI !== undefined;
const onPostgres = process.env.TEST_DATABASE_URL !== undefined || inCi;
const withRedis = onPostgres && (process.env.TEST_REDIS_URL !== undefined || inCi);
const withBrowser = onPostgres && (process.env.TEST_BROWSER !== undefined || inCi);
const withOperate = process.env.TEST_OPERATE !== undefined || inCi;
const withNodes = process.env.TEST_NODES !== undefined || inCi;
const withPython = process.env.TEST_PYTHON !== undefined || inCi;
const stores = ["test/**/*.store.test.ts"];
const postgresOnly = ["test/**/*.postgres.test.ts"];
const redisOnly = ["test/**/*.redis.test.ts"];
const otherNodes = ["test/**/*.nodes.test.ts"];
const pythonOnly = ["test/**/*.python.test.ts"];
const browserOnly = ["test/**/*.browser.test.ts"];
const consoleOnly = ["test/console/*.console.test.ts"];
/** About the page alone, whatever store its server has. */
const pageOnly = ["test/console/{budgets,bulk,connection,long-list,session}.console.test.ts"];
/** Makes PostgreSQL servers of its own, which would keep those of the other tests waiting. */
const operate = ["test/operate/*.operate.test.ts"];

if (!onPostgres) {
  process.stderr.write(
    "TEST_DATABASE_URL is not set: the tests on PostgreSQL are left out, everything else runs on the embedded store.\n" +
      "To run them: TEST_DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres npm test\n",
  );
}

if (!withRedis) {
  process.stderr.write(
    "TEST_REDIS_URL is not set, or TEST_DATABASE_URL is not: the tests with Redis are left out.\n" +
      "To run them, too: TEST_REDIS_URL=redis://127.0.0.1:6379\n",
  );
}
if (!withOperate) {
  process.stderr.write(
    "TEST_OPERATE is not set: the tests of failovers, restores and poolers are left out.\n" +
      "To run them, where PostgreSQL's programs and PgBouncer are installed: npm run test:operate\n",
  );
}
if (!withNodes) {
  process.stderr.write(
    "TEST_NODES is not set: the tests on other versions of Node are left out.\n" +
      "To run them, where npm may get those: TEST_NODES=1 npx vitest run --project nodes\n",
  );
}
if (!withPython) {
  process.stderr.write(
    "TEST_PYTHON is not set: the tests of the kit for Python are left out.\n" +
      "To run them, with Python 3.10 or later: TEST_PYTHON=python3 npm test\n",
  );
}
if (!withBrowser) {
  process.stderr.write(
    "TEST_BROWSER is not set, or TEST_DATABASE_URL is not: the tests in a browser are left out.\n" +
      "To run them, too: TEST_BROWSER=/usr/bin/chromium\n",
  );
}

/** Vite would load graphql's ES build and Node its CommonJS build for the libraries: two copies do not mix. */
const resolve = { alias: [{ find: /^graphql$/, replacement: "graphql/index.js" }] };

/** Measures how long a real process takes to start: run after the others, with the machine to itself. */
const alone = ["test/db/embedded.test.ts"];
/** Keeps a server as busy as attackers can, and measures how long another client waits. */
const attacks = ["test/http/attacks.test.ts"];

/** Keeps a dozen processes busy and kills them: neither it nor the others would have the time they need together. */
const chaos = ["test/chaos/*.postgres.test.ts"];

// Files of a project share what they import: loading the server again for each would take longer than most tests.
const common = { testTimeout: 60_000, hookTimeout: 120_000, isolate: false };

export default defineConfig({
  test: {
    // More than a small machine has cores: many tests wait, for a lease to end or for a process to start.
    maxWorkers: 3,
    projects: [
      {
        resolve,
        test: {
          ...common,
          name: "plain",
          include: ["test/**/*.test.ts"],
          exclude: [
            ...stores,
            ...postgresOnly,
            ...redisOnly,
            ...browserOnly,
            ...consoleOnly,
            ...operate,
            ...otherNodes,
            ...pythonOnly,
            ...alone,
            ...attacks,
          ],
        },
      },
      { resolve, test: { ...common, name: "attacks", include: attacks, sequence: { groupOrder: 4 } } },
      { resolve, test: { ...common, name: "alone", include: alone, sequence: { groupOrder: 1 } } },
      { resolve, test: { ...common, name: "embedded", include: stores, env: { TEST_STORE: "embedded" } } },
      ...(onPostgres
        ? [
            {
              resolve,
              test: {
                ...common,
                // A hundred rounds of a race take a minute where the machine is slow and busy.
                testTimeout: 240_000,
                name: "postgres",
                include: [...stores, ...postgresOnly],
                exclude: chaos,
                env: { TEST_STORE: "postgres" },
              },
            },
            { resolve, test: { ...common, name: "chaos", include: chaos, sequence: { groupOrder: 2 } } },
          ]
        : []),
      // The sweep in builds that lack one of the rings (section 11).
      ...(onPostgres
        ? SCRATCH_BUILD_NAMES.map((name) => ({
            resolve,
            plugins: [scratchBuild(name)],
            test: {
              ...common,
              name: `without-${name}`,
              include: ["test/identity/sweep.store.test.ts"],
              env: { TEST_STORE: "postgres" },
            },
          }))
        : []),
      ...(withRedis
        ? [{ resolve, test: { ...common, name: "redis", include: redisOnly, env: { TEST_STORE: "postgres" } } }]
        : []),
      ...(withOperate
        ? [
            {
              resolve,
              test: {
                ...common,
                name: "operate",
                include: operate,
                // What ends a test's PostgreSQL servers is registered once for each file that is loaded.
                isolate: true,
                testTimeout: 120_000,
                hookTimeout: 120_000,
                sequence: { groupOrder: 3 },
              },
            },
          ]
        : []),
      ...(withPython ? [{ resolve, test: { ...common, name: "python", include: pythonOnly } }] : []),
      ...(withNodes
        ? [{ resolve, test: { ...common, name: "nodes", include: otherNodes, sequence: { groupOrder: 3 } } }]
        : []),
      ...(withBrowser ? [{ resolve, test: { ...common, name: "browser", include: browserOnly } }] : []),
      // One after the other, with the machine to themselves: they measure what a page and its browser take.
      ...(withBrowser
        ? ["embedded", "postgres"].map((store, index) => ({
            resolve,
            test: {
              ...common,
              name: `console-${store}`,
              include: consoleOnly,
              exclude: store === "embedded" ? [] : pageOnly,
              env: { TEST_STORE: store },
              fileParallelism: false,
              testTimeout: 180_000,
              sequence: { groupOrder: 5 + index },
            },
          }))
        : []),
    ],
  },
});
