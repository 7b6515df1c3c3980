import { type CommandContext, inTransaction } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import type { ReportedJob } from "../jobs/lock.ts";
import { transitionTo } from "../jobs/state.ts";
import { writeVersions } from "../jobs/store.ts";
import type { JobChange } from "../jobs/version.ts";
import { ENGINE } from "../log/event.ts";
import { afterFailure } from "./backoff.ts";
import { lockReportedRuns } from "./lock.ts";
import { type ExpiredRun, endRunsCte, expiredRuns } from "./store.ts";

/** Runs that one transaction of a sweep recovers: it holds their jobs' rows while it does. */
const BATCH = 100;

/** What a sweep needs of the engine: the first one runs at the start, before there are a feed and guards. */
type Sweeper = CommandContext & Pick<Engine, "backoff">;

/**
 * Takes every run whose lease has passed from its worker [HSK-WF-003]: the run and its job become stalled
 * (FR-EVT-WF-RECOVERY), and then policy queues the job again or fails it. Several servers may sweep at once: a run is
 * judged under its job's lock, so it is recovered once.
 * @param signal ends it after the batch that is under way.
 * @returns how many runs this call recovered.
 */
export async function recoverStalledRuns(context: Sweeper, signal?: AbortSignal): Promise<number> {
  let recovered = 0;
  for (let last: ExpiredRun | undefined; ; ) {
    if (signal?.aborted) return recovered;
    const expired = await expiredRuns(context.prisma, BATCH, last);
    if (expired.length > 0) recovered += await recoverBatch(context, expired);
    if (expired.length < BATCH) return recovered;
    last = expired.at(-1);
  }
}

function recoverBatch(context: Sweeper, expired: readonly ExpiredRun[]): Promise<number> {
  return inTransaction(context, async (tx) => {
    const refs = expired.map(({ id }) => ({ workflowRunId: id }));
    // A job that somebody holds, for whatever, is left to the next sweep: the others do not wait for it.
    const locked = [...(await lockReportedRuns(tx, refs, "SKIP")).values()];
    // The others were renewed, ended or recovered by somebody else after they were listed, before they were locked.
    const lost = locked.filter(
      ({ run, now }) => run.state === "RUNNING" && run.leaseExpiresAt !== null && run.leaseExpiresAt <= now,
    );
    const errorMessage = "The lease ran out: its worker was not heard from in time.";
    const stalled = await writeVersions(
      tx,
      lost.map(
        ({ job, run }): JobChange<ReportedJob> => ({
          job,
          set: { ...transitionTo(job, "STALLED", "lease_expired"), errorMessage },
          event: {
            type: "WORKFLOW_RECOVERY",
            by: ENGINE,
            payload: {
              worker_id: run.workerId,
              attempt: run.attempt,
              lease_expired_at: run.leaseExpiresAt?.toISOString() ?? null,
              last_heartbeat: run.lastHeartbeat.toISOString(),
            },
          },
        }),
      ),
      endRunsCte(lost.map(({ run, now }) => ({ id: run.id, state: "STALLED", errorMessage, finishedAt: now }))),
    );
    await writeVersions(
      tx,
      stalled.map(({ job }): JobChange<ReportedJob> => {
        const next = afterFailure(job, { retryable: true, reason: "lease_expired" }, context.backoff);
        return { job, set: next, event: { type: "STATE_CHANGED", by: ENGINE, payload: { reason: next.statusReason } } };
      }),
    );
    return lost.length;
  });
}
