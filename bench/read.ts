/**
 * How many reads per second over HTTP, compared with PostGraphile on the same tables? Reads a job by its id, and the 20
 * newest jobs. Run with `npx tsx bench/read.ts`.
 */
import { cells, compare, head } from "./support/compare.ts";
import { settle, withDatabase } from "./support/database.ts";
import { bar, machine, table } from "./support/figures.ts";
import { addJobs, someJobIds, WORKSPACE } from "./support/jobs.ts";
import type { Operation } from "./support/load.ts";
import { startOurs, startPeer } from "./support/servers.ts";

const JOBS = 5_000;
/** Requests a second of ours over those of PostGraphile. */
const AT_LEAST = { jobById: 1.2, newestJobs: 1 };
const ROUNDS = 7;
const MILLISECONDS = 3_000;

const scalars = "jobId jobKind state statusReason protocolId attempt createdAt";
const metrics = "durationMs totalTokens inputTokens outputTokens";

function byId(query: string, ids: readonly string[]): Operation {
  let next = 0;
  return { query, variables: () => ({ id: ids[next++ % ids.length] }), answer: '"jobId":"' };
}

console.log(`## Reads next to PostGraphile, ${JOBS} jobs, 16 connections\n\n${machine()}\n`);
await withDatabase(async (url, sql) => {
  // Ours starts first: it creates the tables, which PostGraphile reads when it starts.
  const ours = await startOurs(url);
  const peer = await startPeer(url);
  try {
    await addJobs(sql, JOBS);
    await settle(sql);
    const ids = await someJobIds(sql, 1000);
    const job = await compare(
      {
        server: ours,
        operation: byId(`query ($id: UUID!) { aiJob(jobId: $id) { ${scalars} metrics { ${metrics} } } }`, ids),
      },
      {
        server: peer,
        operation: byId(`query ($id: UUID!) { aiJobByJobId(jobId: $id) { ${scalars} ${metrics} } }`, ids),
      },
      ROUNDS,
      MILLISECONDS,
    );
    const list = await compare(
      {
        server: ours,
        operation: {
          query: `query ($first: Int!) { aiJobs(first: $first) { nodes { ${scalars} metrics { ${metrics} } } } }`,
          variables: () => ({ first: 20 }),
          answer: '"nodes":[{"jobId":"',
        },
      },
      {
        server: peer,
        operation: {
          query:
            "query ($first: Int!, $workspace: UUID!) { allAiJobs(first: $first, condition: { workspaceId: $workspace }, " +
            `orderBy: [CREATED_AT_DESC, JOB_ID_DESC]) { nodes { ${scalars} ${metrics} } } }`,
          variables: () => ({ first: 20, workspace: WORKSPACE }),
          answer: '"nodes":[{"jobId":"',
        },
      },
      ROUNDS,
      MILLISECONDS,
    );
    const rows = [
      ["job by id", ...cells(job)],
      ["20 newest jobs", ...cells(list)],
    ];
    console.log(`${table(head("what", "ours", "PostGraphile"), rows)}\n`);
    console.log(bar("job by id, ours : PostGraphile", job.ratio, { atLeast: AT_LEAST.jobById }));
    console.log(bar("20 newest jobs, ours : PostGraphile", list.ratio, { atLeast: AT_LEAST.newestJobs }));
  } finally {
    await Promise.all([ours.stop(), peer.stop()]);
  }
});
