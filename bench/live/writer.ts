import type { Claim } from "../../src/claims/acquire-lease.ts";
import { claimAiJobs } from "../../src/claims/claim.ts";
import { openDatabase } from "../../src/db/open.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { CommitNotifier } from "../../src/live/notifier.ts";
import { postgresTransport } from "../../src/live/notifier-postgres.ts";
import { type Heartbeat, heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { engineOn } from "../../test/support/engine.ts";
import { WORKSPACE } from "../support/jobs.ts";
import { now } from "./clock.ts";

/** In seconds; longer than the benchmark. A heartbeat never shortens a lease. */
const LEASE_SECONDS = 3600;
/** The number of jobs per claim. */
const BATCH = 100;

/** Claims jobs and changes them directly in the database: to the server under test it looks like another server. */
export interface Writer {
  readonly jobIds: readonly string[];
  /** The heartbeats that change these jobs: each adds to the metrics of one. */
  heartbeats(jobIds: readonly string[]): readonly Heartbeat[];
  /**
   * Executes heartbeats of these jobs without the server under test: one event for each job, all in one transaction.
   * @returns the time when the commit was answered.
   */
  change(jobIds: readonly string[]): Promise<number>;
  close(): Promise<void>;
}

/** Creates a writer that has claimed this many of the queued jobs. */
export async function openWriter(databaseUrl: string, jobs: number): Promise<Writer> {
  const database = await openDatabase({ kind: "postgres", url: databaseUrl, poolSize: 2 });
  const notifier = new CommitNotifier(postgresTransport(databaseUrl), { onChange: () => undefined });
  let committedAt = Number.NaN;
  const engine = engineOn(database, {
    // The server calls this right after a commit.
    notifyCommit: () => {
      committedAt = now();
      notifier.notify();
    },
  });
  const claims = new Map<string, Claim>();
  while (claims.size < jobs) {
    const jobKinds = ["DOC_EDIT", "DOC_SUMMARIZE", "ASR_TRANSCRIBE", "SHEET_TRANSFORM"] as const;
    const limit = Math.min(BATCH, jobs - claims.size);
    const worker = { workerId: "bench", leaseSeconds: LEASE_SECONDS, workspaceId: WORKSPACE };
    const taken = await claimAiJobs(engine, { ...worker, jobKinds, limit });
    if (taken.claims.length === 0) throw new Error("There are not enough jobs.");
    for (const claim of taken.claims) claims.set(claim.job.jobId, claim);
  }
  const metrics = { ...NO_METRICS, durationMs: 5, inputTokens: 10 };
  const heartbeats = (jobIds: readonly string[]) =>
    jobIds.map((jobId) => {
      const claim = claims.get(jobId);
      if (!claim) throw new Error(`${jobId} is not a job of this writer.`);
      return { workflowRunId: claim.run.id, leaseToken: claim.leaseToken, leaseSeconds: 60, metrics };
    });
  return {
    jobIds: [...claims.keys()],
    heartbeats,
    change: async (jobIds) => {
      const answers = await heartbeatWorkflows(engine, heartbeats(jobIds));
      const refused = answers.find(({ error }) => error !== null);
      if (refused) throw new Error(`A heartbeat was refused: ${refused.error?.message}`);
      return committedAt;
    },
    close: async () => {
      await notifier.close();
      await database.close();
    },
  };
}
