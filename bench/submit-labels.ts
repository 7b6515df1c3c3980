/**
 * What do five labels cost a submit, over HTTP? Run with `npx tsx bench/submit-labels.ts`. Ends with exit code 1 below the bar.
 *
 * Both sides are the same server and the same document, in alternating rounds: submits with five labels, and without.
 */
import { cells, compare, head } from "./support/compare.ts";
import { settle, withDatabase } from "./support/database.ts";
import { machine, table } from "./support/figures.ts";
import { addJobs } from "./support/jobs.ts";
import { startOurs } from "./support/servers.ts";

const JOBS = 5_000;
const BAR = 0.9;
const ROUNDS = 5;
const MILLISECONDS = 2_000;

const query = `mutation ($input: SubmitAiJobInput!) { submitAiJob(input: $input) { __typename
  ... on SubmitAiJobPayload { job { jobId jobKind state statusReason protocolId attempt createdAt } } } }`;
const plain = { jobKind: "DOC_SUMMARIZE", protocolId: "bench", jobInputs: { text: "what a job works on" } };

/** Labels as an agent's jobs have them: a few that many jobs share, and one that few do. */
let submits = 0;
const labels = () => [
  { key: "team", value: "search" },
  { key: "env", value: "production" },
  { key: "app", value: "summaries" },
  { key: "release", value: "2026-11-29" },
  { key: "user", value: `user-${submits++ % 1_000}` },
];

console.log(`## Submits with five labels next to submits without, 16 connections\n\n${machine()}\n`);
await withDatabase(async (url, sql) => {
  const server = await startOurs(url);
  try {
    await addJobs(sql, JOBS);
    await settle(sql);
    const answer = '"job":{"jobId":"';
    const measured = await compare(
      { server, operation: { query, variables: () => ({ input: { ...plain, labels: labels() } }), answer } },
      { server, operation: { query, variables: () => ({ input: plain }), answer } },
      ROUNDS,
      MILLISECONDS,
    );
    console.log(`${table(head("what", "five labels", "none"), [["submit", ...cells(measured)]])}\n`);
    console.log(`five labels : none ${measured.ratio.toFixed(2)}; at least ${BAR}`);
    if (measured.ratio < BAR) process.exitCode = 1;
  } finally {
    await server.stop();
  }
});
