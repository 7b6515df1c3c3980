/**
 * How many submits per second over HTTP, compared with PostGraphile's plain create? Run with `npx tsx bench/submit.ts`.
 *
 * The create writes to a plain table with the columns and indexes of ai_jobs; on ai_jobs itself the database would
 * refuse a job without its event. A submit does more: it checks capabilities, computes hashes, and writes the job with
 * its event, with foreign keys, checks and triggers.
 */
import { cells, compare, head } from "./support/compare.ts";
import { settle, withDatabase } from "./support/database.ts";
import { machine, table } from "./support/figures.ts";
import { addJobs, WORKSPACE } from "./support/jobs.ts";
import { startOurs, startPeer } from "./support/servers.ts";

const JOBS = 5_000;
const AIM = 0.45;
const ROUNDS = 7;
const MILLISECONDS = 3_000;

const scalars = "jobId jobKind state statusReason protocolId attempt createdAt";
const metrics = "durationMs totalTokens inputTokens outputTokens";
const jobInputs = { text: "what a job works on" };

/** The values of a plain row, for which there are no defaults. */
const plainJob = {
  workspaceId: WORKSPACE,
  traceId: WORKSPACE,
  jobKind: "doc_summarize",
  statusReason: "submitted",
  protocolId: "bench",
  profileId: "default",
  capabilityProfileId: "default",
  submitHash: "0".repeat(64),
  submittedBy: "bench",
  orderXid: "1",
  chainHash: "0".repeat(64),
  jobInputs,
};

console.log(`## Submits next to PostGraphile's plain create, 16 connections\n\n${machine()}\n`);
await withDatabase(async (url, sql) => {
  const ours = await startOurs(url);
  await sql.query("CREATE TABLE plain_jobs (LIKE ai_jobs INCLUDING DEFAULTS INCLUDING INDEXES)");
  await sql.query("ALTER TABLE plain_jobs ALTER job_id SET DEFAULT gen_random_uuid()");
  const peer = await startPeer(url);
  try {
    await addJobs(sql, JOBS);
    await sql.query("INSERT INTO plain_jobs SELECT * FROM ai_jobs");
    await settle(sql);
    const submit = await compare(
      {
        server: ours,
        operation: {
          query:
            "mutation ($input: SubmitAiJobInput!) { submitAiJob(input: $input) { __typename " +
            `... on SubmitAiJobPayload { job { ${scalars} metrics { ${metrics} } } } } }`,
          variables: () => ({ input: { jobKind: "DOC_SUMMARIZE", protocolId: "bench", jobInputs } }),
          answer: '"job":{"jobId":"',
        },
      },
      {
        server: peer,
        operation: {
          query: `mutation ($input: CreatePlainJobInput!) { createPlainJob(input: $input) { plainJob { ${scalars} ${metrics} } } }`,
          variables: () => ({ input: { plainJob } }),
          answer: '"plainJob":{"jobId":"',
        },
      },
      ROUNDS,
      MILLISECONDS,
    );
    console.log(`${table(head("what", "ours", "PostGraphile"), [["submit : create", ...cells(submit)]])}\n`);
    console.log(`ours : PostGraphile ${submit.ratio.toFixed(2)}; the aim is ${AIM}, and no bar`);
  } finally {
    await Promise.all([ours.stop(), peer.stop()]);
  }
});
