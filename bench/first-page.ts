/**
 * Does the first page stay fast when the table grows? Reads 20 jobs without totalCount over HTTP from a server with
 * 10,000 jobs and from one with 200,000: all jobs, by either order, and by the conditions that have to find few among many. Run with `npx tsx
 * bench/first-page.ts`.
 */
import { cells, compare, head } from "./support/compare.ts";
import { settle, withDatabase } from "./support/database.ts";
import { bar, machine, table } from "./support/figures.ts";
import { addJobs } from "./support/jobs.ts";
import { startOurs } from "./support/servers.ts";

const FEW = 10_000;
const MANY = 200_000;
const MAX = 1.3;

const LISTS = {
  "all jobs": {},
  "states QUEUED, RUNNING": { filter: { states: ["QUEUED", "RUNNING"] } },
  "states FAILED (none)": { filter: { states: ["FAILED"] } },
  "kinds DOC_EDIT, TERMINAL_EXEC": { filter: { kinds: ["DOC_EDIT", "TERMINAL_EXEC"] } },
  "all jobs, by UPDATED_AT": { orderBy: { field: "UPDATED_AT" } },
  "states QUEUED, by UPDATED_AT": { orderBy: { field: "UPDATED_AT" }, filter: { states: ["QUEUED"] } },
  "states AWAITING_USER (none), by UPDATED_AT": {
    orderBy: { field: "UPDATED_AT" },
    filter: { states: ["AWAITING_USER"] },
  },
  "a trace (none)": { filter: { traceId: "00000000-0000-4000-8000-000000000000" } },
  "a tree (none)": { filter: { rootJobId: "00000000-0000-4000-8000-000000000000" } },
  "an idempotency key (none)": { filter: { idempotencyKey: "none" } },
};

const query = `query ($filter: AiJobFilter, $orderBy: AiJobOrder) {
  aiJobs(first: 20, filter: $filter, orderBy: $orderBy) {
    nodes { jobId jobKind state statusReason createdAt } pageInfo { endCursor } } }`;

console.log(`## The first page at ${FEW} and at ${MANY} jobs, 16 connections\n\n${machine()}\n`);
await withDatabase((fewUrl, fewSql) =>
  withDatabase(async (manyUrl, manySql) => {
    const few = await startOurs(fewUrl);
    const many = await startOurs(manyUrl);
    try {
      await addJobs(fewSql, FEW);
      await addJobs(manySql, MANY);
      await settle(fewSql);
      await settle(manySql);
      const rows: string[][] = [];
      const bars: string[] = [];
      for (const [name, variables] of Object.entries(LISTS)) {
        const operation = { query, variables: () => variables, answer: '"nodes":[' };
        const compared = await compare({ server: few, operation }, { server: many, operation }, 7, 1_000);
        rows.push([name, ...cells(compared)]);
        bars.push(bar(`${name}: times as long with ${MANY} jobs`, compared.ratio, { atMost: MAX }));
      }
      console.log(`${table(head("first page of", `${FEW} jobs`, `${MANY} jobs`), rows)}\n\n${bars.join("\n")}`);
    } finally {
      await Promise.all([few.stop(), many.stop()]);
    }
  }),
);
