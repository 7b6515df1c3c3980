import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { z } from "zod";
import type { Database } from "../../src/db/database.ts";
import { openDatabase } from "../../src/db/open.ts";
import { CommitNotifier } from "../../src/live/notifier.ts";
import { postgresTransport } from "../../src/live/notifier-postgres.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { connectTo } from "../support/interrupt.ts";
import { watch } from "../support/live.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Two servers that look into the log once an hour: what they know of each other's changes, they know by hints. */

const HOUR_MS = 3_600_000;

let db: TestDatabase;
let otherStorage: Database;
let hints: CommitNotifier[];
let here: TestServer;
let there: TestServer;
let url: string;
beforeAll(async () => {
  db = await openTestDatabase();
  url = db.url;
  otherStorage = await openDatabase(db.location);
  hints = [1, 2].map(() => new CommitNotifier(postgresTransport(url), { onChange: () => undefined }));
  const [one, two] = hints;
  if (!one || !two) throw new Error("There are two.");
  here = await startTestServer(db, {}, { pollMs: HOUR_MS, notifier: one });
  there = await startTestServer(otherStorage, {}, { pollMs: HOUR_MS, notifier: two });
  await untilConnected();
});
afterAll(async () => {
  await Promise.all([here.close(), there.close(), ...hints.map((notifier) => notifier.close())]);
  await otherStorage.close();
  await db.close();
});

async function untilConnected(): Promise<void> {
  await vi.waitUntil(() => hints.every(({ health }) => health.connected), { timeout: 20_000 });
}

const SUBMIT = graphql(`
  mutation HintsSubmit {
    submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "hints" }) {
      ... on SubmitAiJobPayload {
        job {
          jobId
        }
      }
    }
  }
`);
const CANCEL = graphql(`
  mutation HintsCancel($jobId: UUID!) {
    cancelAiJob(input: { jobId: $jobId, reason: "hints" }) {
      __typename
    }
  }
`);
const WATCH = "subscription ($jobId: UUID!) { change: aiJobChanged(jobId: $jobId) { version } }";
const version = (data: Record<string, unknown>) =>
  z.object({ change: z.object({ version: z.int() }) }).parse(data).change.version;

async function submitted(): Promise<string> {
  const { submitAiJob } = await there.run(SUBMIT, {});
  return "job" in submitAiJob ? submitAiJob.job.jobId : "";
}

/** The feed looks less and less often by itself: until it has not looked for a while. */
async function untilAsleep(): Promise<void> {
  const looks = () => db.statements().filter((sql) => sql.includes("log_watermark")).length;
  for (let quiet = 0; quiet < 3; quiet = looks() > 0 ? 0 : quiet + 1) {
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

test("a subscriber hears at once what another server commits", async () => {
  const jobId = await submitted();
  await using changes = watch("graphql-ws", here.url, { query: WATCH, variables: { jobId } }, version);
  await changes.until((seen) => seen.length === 1);
  await untilAsleep();
  await there.run(CANCEL, { jobId });
  await changes.until((seen) => seen.includes(2));
});

test("what was committed while no hint could come is heard when one can", async () => {
  const jobId = await submitted();
  await using changes = watch("graphql-sse", here.url, { query: WATCH, variables: { jobId } }, version);
  await changes.until((seen) => seen.length === 1);
  await untilAsleep();
  const admin = await connectTo(url);
  await admin.query(
    `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
     WHERE application_name = 'ai-job-server signals' AND datname = current_database()`,
  );
  await admin.end();
  await there.run(CANCEL, { jobId });
  await changes.until((seen) => seen.includes(2));
  await untilConnected();
});

test("a worker that waits at one server gets at once what was submitted at another", async () => {
  const WAIT = graphql(`
    mutation HintsWait {
      claimAiJobs(input: { workerId: "hints", jobKinds: [SHEET_TRANSFORM], waitSeconds: 20 }) {
        ... on ClaimAiJobsPayload {
          claims {
            leaseToken
          }
        }
      }
    }
  `);
  const SHEET = graphql(`
    mutation HintsSheet {
      submitAiJob(input: { jobKind: SHEET_TRANSFORM, protocolId: "hints" }) {
        __typename
      }
    }
  `);
  const waiting = here.run(WAIT, {});
  await there.run(SHEET, {});
  const { claimAiJobs } = await waiting;
  expect("claims" in claimAiJobs && claimAiJobs.claims).toHaveLength(1);
});
