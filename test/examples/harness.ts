import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { expect } from "vitest";
import type { Summariser } from "../../examples/worker/summariser.ts";
import { type WorkerOptions, work } from "../../examples/worker.ts";
import { graphql } from "../generated/gql.ts";
import type { JobKind, JobState } from "../generated/graphql.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** A server for the examples' worker, and what a test does beside that worker: submit, look, and meddle. */

const Submit = graphql(`
  mutation ExamplesSubmit($input: SubmitAiJobInput!) {
    submitAiJob(input: $input) {
      ... on SubmitAiJobPayload {
        job {
          jobId
        }
      }
    }
  }
`);

const Job = graphql(`
  query ExamplesJob($jobId: UUID!) {
    aiJob(jobId: $jobId) {
      state
      statusReason
      errorMessage
      version
      attempt
      runAfter
      jobOutputs
      metrics {
        inputTokens
        outputTokens
        totalTokens
        tokensExecutor
        entitiesRead
        validatorsRunCount
      }
      workflowRun {
        workflowRunId
        state
        steps {
          nodeId
          nodeType
          state
          errorMessage
        }
      }
    }
  }
`);

const Unfinished = graphql(`
  query ExamplesUnfinished {
    aiJobs(first: 100, filter: { states: [QUEUED, RUNNING] }) {
      nodes {
        jobId
      }
    }
  }
`);

const Cancel = graphql(`
  mutation ExamplesCancel($jobId: UUID!) {
    cancelAiJob(input: { jobId: $jobId, reason: "no longer needed" }) {
      ... on CancelAiJobPayload {
        job {
          version
        }
      }
    }
  }
`);

const Poison = graphql(`
  mutation ExamplesPoison($jobId: UUID!) {
    reportSecurityViolation(
      input: {
        jobId: $jobId
        violationType: PROMPT_INJECTION
        guardName: "a person"
        trigger: "paragraph 3"
        description: "It gives orders."
        sourceId: "document"
      }
    ) {
      ... on ReportSecurityViolationPayload {
        job {
          version
        }
      }
    }
  }
`);

/** How long a test waits for something that takes a moment, on a machine that is busy with other tests. */
export const SOON = { timeout: 30_000, interval: 20 };

export interface Workplace {
  readonly db: TestDatabase;
  readonly server: TestServer;
  /** Employs a worker until it is dismissed. */
  employ(options: Pick<WorkerOptions, "documents" | "summariser"> & Partial<WorkerOptions>): void;
  /** Lets every worker end what it does, and go. */
  dismiss(): Promise<void>;
  /** Dismisses every worker, and leaves no job to those of the next test. */
  clear(): Promise<void>;
  close(): Promise<void>;
}

export async function openWorkplace(): Promise<Workplace> {
  const db = await openTestDatabase();
  const server = await startTestServer(db);
  let stop = new AbortController();
  let workers: Promise<void>[] = [];
  const employ: Workplace["employ"] = (options) => {
    const usual = { url: server.url, workerId: "worker-1", leaseSeconds: 30, signal: stop.signal };
    workers.push(work({ ...usual, ...options }));
  };
  const dismiss = async () => {
    stop.abort();
    const leaving = workers;
    stop = new AbortController();
    workers = [];
    await Promise.all(leaving);
  };
  const clear = async () => {
    await dismiss();
    const { aiJobs } = await server.run(Unfinished, {});
    for (const { jobId } of aiJobs.nodes) await server.run(Cancel, { jobId });
  };
  const close = async () => {
    await server.close();
    await db.close();
  };
  return { db, server, employ, dismiss, clear, close };
}

/** A protocol of which no other test has jobs. */
export function aProtocol(): string {
  return `test-${randomUUID()}`;
}

export async function submit(
  { server }: Workplace,
  protocolId: string,
  jobInputs: unknown,
  jobKind: JobKind = "DOC_SUMMARIZE",
): Promise<string> {
  const { submitAiJob } = await server.run(Submit, { input: { jobKind, protocolId, jobInputs } });
  if (!("job" in submitAiJob)) throw new Error("The job was not stored.");
  return submitAiJob.job.jobId;
}

export async function readJob({ server }: Workplace, jobId: string) {
  const { aiJob } = await server.run(Job, { jobId });
  if (!aiJob?.workflowRun && aiJob?.state !== "QUEUED" && aiJob?.state !== "POISONED") throw new Error("No such job.");
  return aiJob;
}

/** Waits until the job's last attempt has failed and another one is due, and gives it. */
export async function jobToRetry(workplace: Workplace, jobId: string) {
  await expect.poll(async () => (await readJob(workplace, jobId)).statusReason, SOON).toBe("retry_scheduled");
  return readJob(workplace, jobId);
}

/** Lets the wait before the next attempt be over. It makes no version, because the passing of time makes none either. */
export async function makeDue({ db }: Workplace, jobId: string): Promise<void> {
  await db.prisma.$transaction([
    db.prisma.$executeRaw`ALTER TABLE ai_jobs DISABLE TRIGGER USER`,
    db.prisma.$executeRaw`UPDATE ai_jobs SET run_after = now() - interval '1 second' WHERE job_id = ${jobId}::uuid`,
    db.prisma.$executeRaw`ALTER TABLE ai_jobs ENABLE TRIGGER USER`,
  ]);
}

/** Waits until the job is there, and gives it. */
export async function jobIn(workplace: Workplace, jobId: string, state: JobState) {
  await expect.poll(async () => (await readJob(workplace, jobId)).state, SOON).toBe(state);
  return readJob(workplace, jobId);
}

export async function cancel({ server }: Workplace, jobId: string): Promise<void> {
  expect((await server.run(Cancel, { jobId })).cancelAiJob).toHaveProperty("job");
}

export async function poison({ server }: Workplace, jobId: string): Promise<void> {
  expect((await server.run(Poison, { jobId })).reportSecurityViolation).toHaveProperty("job");
}

/** A summariser that waits: `begun` gives the signal that it got, `finish` lets it answer. */
export function slowSummariser() {
  const done = new AbortController();
  let begin: (signal: AbortSignal) => void = () => undefined;
  const begun = new Promise<AbortSignal>((resolve) => {
    begin = resolve;
  });
  const summariser: Summariser = {
    name: "slow",
    nodeType: "llm_call",
    mostTokens: Number.POSITIVE_INFINITY,
    summarise: async (_text, signal) => {
      begin(signal);
      if (!done.signal.aborted) await once(AbortSignal.any([done.signal, signal]), "abort");
      signal.throwIfAborted();
      return { text: "A summary.", inputTokens: 10, outputTokens: 2 };
    },
  };
  return { summariser, begun, finish: () => done.abort() };
}
