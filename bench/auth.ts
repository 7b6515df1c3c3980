/**
 * What does it cost to ask who calls? Run with `npx tsx bench/auth.ts`. A server with auth, whose role row-level security holds for,
 * next to the same without both, in turns; and its answer to who has no credential next to that of a bare `node:http` server.
 * `npx tsx bench/auth.ts submit` asks one question alone.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import pg from "pg";
import { JobKind } from "../src/db/generated/client/enums.ts";
import { newApiKeySecret } from "../src/identity/api-key.ts";
import { createPostgresDatabase } from "../test/support/database.ts";
import { settle } from "./support/database.ts";
import { bar, machine, median, table } from "./support/figures.ts";
import { addJobs, addQueuedJobs, someJobIds } from "./support/jobs.ts";
import { keyOf, OPERATOR_KEY } from "./support/keys.ts";
import { load, type Operation } from "./support/load.ts";
import { type Server, startOurs } from "./support/servers.ts";

/** One question alone; all where it is left out. */
const [only] = process.argv.slice(2);
const ROUNDS = 9;
const ROUND_MS = 2_500;
/** The price: this share of what a server without auth does in the same time. */
const MIN_SHARE = 0.9;
/** A refused caller may cost so many times what a bare server takes to refuse it. */
const MAX_OF_BARE = 1.5;

const UNLIMITED = {
  RATE_COMPLEXITY_PER_MINUTE: "0",
  RATE_COMMANDS_PER_SECOND: "0",
  RATE_FAILED_LOGINS_PER_MINUTE: "0",
};

interface Side {
  readonly server: Server;
  readonly sql: pg.Client;
  /** What each request needs. */
  readonly headers: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

async function startSide(hasAuth: boolean): Promise<Side> {
  const { url, env, drop } = await createPostgresDatabase();
  const settings = hasAuth ? { ...env, OPERATOR_KEY, ...UNLIMITED } : {};
  const server = await startOurs(url, [], undefined, settings);
  const sql = new pg.Client({ connectionString: url });
  await sql.connect();
  const headers: Record<string, string> = hasAuth ? { authorization: `Bearer ${await keyOf(server)}` } : {};
  const close = async () => {
    await server.stop();
    await sql.end();
    await drop();
  };
  return { server, sql, headers, close };
}

const SCALARS = "jobId jobKind state statusReason protocolId attempt createdAt metrics { durationMs totalTokens }";

const QUESTIONS: Readonly<Record<string, (side: Side) => Promise<Operation>>> = {
  "job by id": async ({ sql, headers }) => {
    const ids = await someJobIds(sql, 1_000);
    let next = 0;
    return {
      query: `query ($jobId: UUID!) { aiJob(jobId: $jobId) { ${SCALARS} } }`,
      variables: () => ({ jobId: ids[next++ % ids.length] }),
      answer: '"aiJob":{"jobId":"',
      headers,
    };
  },
  submit: async ({ headers }) => ({
    query: `mutation ($input: SubmitAiJobInput!) { submitAiJob(input: $input) {
      __typename ... on SubmitAiJobPayload { job { ${SCALARS} } } } }`,
    variables: () => ({
      input: { jobKind: "DOC_SUMMARIZE", protocolId: "bench", jobInputs: { text: "what to work on" } },
    }),
    answer: '"job":{"jobId":"',
    headers,
  }),
  "claim of one": async ({ headers }) => ({
    query: `mutation ($input: ClaimAiJobsInput!) { claimAiJobs(input: $input) { ... on ClaimAiJobsPayload {
      claims { leaseToken workflowRun { workflowRunId } job { jobId jobKind jobInputs } } } } }`,
    variables: () => ({
      input: { workerId: "w", limit: 1, leaseSeconds: 900, jobKinds: Object.values(JobKind).slice(0, -1) },
    }),
    answer: '"claims":[{"leaseToken"',
    headers,
  }),
};

async function price(): Promise<void> {
  const sides = [await startSide(true), await startSide(false)] as const;
  const rows: string[][] = [];
  try {
    for (const { sql } of sides) {
      await addJobs(sql, 5_000);
      await addQueuedJobs(sql, 60_000);
      await settle(sql);
    }
    for (const [name, operationOf] of Object.entries(QUESTIONS)) {
      if (only !== undefined && name !== only) continue;
      const operations = [await operationOf(sides[0]), await operationOf(sides[1])] as const;
      const measure = async (at: 0 | 1) => (await load(sides[at].server.url, operations[at], ROUND_MS)).perSecond;
      const rounds = await inTurns(
        () => measure(0),
        () => measure(1),
      );
      const share = median(rounds.map(([guarded, open]) => guarded / open));
      console.log(bar(`${name}, with auth : without`, share, { atLeast: MIN_SHARE }));
      rows.push([
        name,
        ...[0, 1].map((at) => median(rounds.map((round) => round[at] ?? 0)).toFixed(0)),
        share.toFixed(2),
      ]);
    }
  } finally {
    for (const side of sides) await side.close();
  }
  console.log(`\n${table(["question", "with, requests/s", "without", "share"], rows)}\n`);
}

/** Measures two in turns; who goes first changes. @returns a pair for each round but the first, which warms up. */
async function inTurns(
  one: () => Promise<number>,
  other: () => Promise<number>,
): Promise<(readonly [number, number])[]> {
  const rounds: (readonly [number, number])[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    if (round % 2 === 0) rounds.push([await one(), await other()]);
    else {
      const second = await other();
      rounds.push([await one(), second]);
    }
  }
  return rounds.slice(1);
}

const BARE = `require("node:http").createServer((request, response) => {
  request.resume().on("end", () => {
    response.writeHead(401, { "www-authenticate": "Bearer", "content-type": "application/json" });
    response.end('{"errors":[{"message":"Who are you?"}]}');
  });
}).listen(0, "127.0.0.1", function () { process.stdout.write(String(this.address().port)); });`;

async function startBare(): Promise<{ readonly url: string; readonly child: ChildProcess }> {
  const child = spawn(process.execPath, ["-e", BARE], { stdio: ["ignore", "pipe", "inherit"] });
  const said: unknown[] = await once(child.stdout, "data");
  return { url: `http://127.0.0.1:${String(said[0])}/graphql`, child };
}

/** A key of the right form that was never made is looked up once, and known as bad from then on. */
const REFUSED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "no credential": {},
  "a malformed one": { authorization: "Bearer nothing like a key" },
  "a known-bad one": { authorization: `Bearer ${newApiKeySecret()}` },
};

async function refusals(): Promise<void> {
  const side = await startSide(true);
  const bare = await startBare();
  const rows: string[][] = [];
  try {
    for (const [name, headers] of Object.entries(REFUSED)) {
      const operation = {
        query: "{ viewer { principal } }",
        variables: () => ({}),
        answer: "errors",
        status: 401,
        headers,
      };
      const measure = async (url: string) => 1_000_000 / (await load(url, operation, ROUND_MS)).perSecond;
      const rounds = await inTurns(
        () => measure(side.server.url),
        () => measure(bare.url),
      );
      const times = median(rounds.map(([ours, theirs]) => ours / theirs));
      console.log(bar(`${name} : a bare 401`, times, { atMost: MAX_OF_BARE }));
      rows.push([
        name,
        ...[0, 1].map((at) => median(rounds.map((round) => round[at] ?? 0)).toFixed(0)),
        times.toFixed(2),
      ]);
    }
  } finally {
    await side.close();
    bare.child.kill();
  }
  console.log(`\n${table(["refused", "µs a request", "bare", "times"], rows)}\n`);
}

console.log(`## A server that asks who calls\n\n${machine()}\n`);
await price();
if (only === undefined) await refusals();
