import { allWorkspaces, within } from "../db/scope.ts";
import { type CommandContext, inTransaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import type { LockedJobWithWriteScope } from "../jobs/lock.ts";
import { transitionTo } from "../jobs/state.ts";
import { writeVersions } from "../jobs/store.ts";
import type { JobChange } from "../jobs/version.ts";
import { SYSTEM_ACTOR } from "../log/event.ts";
import { afterFailure } from "./backoff.ts";
import { lockJobsOfRuns } from "./lock.ts";
import { progressOfVersion } from "./progress.ts";
import { type ExpiredRun, expiredRuns, releaseLeasesCte } from "./store.ts";

/** The most runs that one transaction recovers: it keeps the rows of their jobs locked until it commits. */
const MAX_RUNS_PER_BATCH = 100;
/** Recovery is for the leases of all workspaces. */
const RECOVERY = allWorkspaces("recovery");

/** What recovery needs: it guards no content, and leases no job. */
type RecoveryContext = CommandContext & Pick<EngineContext, "backoff">;

/**
 * Recovers every run whose lease has expired [HSK-WF-003] (section 6): run and job become stalled (FR-EVT-WF-RECOVERY), then
 * the job is queued again, or fails when no attempts are left. Several servers may recover at the same time: each run is
 * checked again under its job's lock, so it is recovered once.
 * @param signal when aborted, recovery stops after the current batch.
 * @returns how many runs this call recovered.
 * @throws TryAgainError when the database rolled a batch back too often; the batches before it are committed.
 */
export async function recoverStalledRuns(context: RecoveryContext, signal?: AbortSignal): Promise<number> {
  let recovered = 0;
  for (let last: ExpiredRun | undefined; ; ) {
    if (signal?.aborted) return recovered;
    const expired = await within(RECOVERY, () => expiredRuns(context.prisma, MAX_RUNS_PER_BATCH, last));
    if (expired.length > 0) recovered += await recoverBatch(context, expired);
    if (expired.length < MAX_RUNS_PER_BATCH) return recovered;
    last = expired.at(-1);
  }
}

function recoverBatch(context: RecoveryContext, expired: readonly ExpiredRun[]): Promise<number> {
  return inTransaction(context, RECOVERY, async (tx) => {
    const refs = expired.map(({ id }) => ({ workflowRunId: id }));
    // Skips jobs that another transaction has locked; the next recovery tries them again. Waiting for one of these jobs would
    // delay the recovery of all others.
    const locked = [...(await lockJobsOfRuns(tx, refs, "SKIP")).values()];
    // Between listing and locking, another transaction may have renewed a lease, or finished or recovered a run.
    const stillExpired = locked.filter(
      ({ run, now }) => run.state === "RUNNING" && run.leaseExpiresAt !== null && run.leaseExpiresAt <= now,
    );
    const errorMessage = "The lease expired: its worker did not renew it in time.";
    const stalled = await writeVersions(
      tx,
      stillExpired.map(
        ({ job, run }): JobChange<LockedJobWithWriteScope> => ({
          job,
          set: { ...progressOfVersion(job, run), ...transitionTo(job, "STALLED", "lease_expired"), errorMessage },
          event: {
            type: "WORKFLOW_RECOVERY",
            by: SYSTEM_ACTOR,
            payload: {
              worker_id: run.workerId,
              attempt: run.attempt,
              lease_expired_at: run.leaseExpiresAt?.toISOString() ?? null,
              last_heartbeat: run.lastHeartbeat.toISOString(),
            },
          },
        }),
      ),
      releaseLeasesCte(
        stillExpired.map(({ run, now }) => ({
          id: run.id,
          state: "STALLED",
          errorMessage,
          finishedAt: now,
          endReason: "lease_expired",
        })),
      ),
    );
    await writeVersions(
      tx,
      stalled.map(({ job }): JobChange<LockedJobWithWriteScope> => {
        const next = afterFailure(job, { retryable: true, reason: "lease_expired" }, context.backoff);
        return {
          job,
          set: next,
          event: { type: "STATE_CHANGED", by: SYSTEM_ACTOR, payload: { reason: next.statusReason } },
        };
      }),
    );
    return stillExpired.length;
  });
}
