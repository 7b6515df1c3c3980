import { allWorkspaces, within } from "../db/scope.ts";
import { type CommandContext, inTransaction } from "../db/transaction.ts";
import type { LockedJobWithWriteScope } from "../jobs/lock.ts";
import { writeVersions } from "../jobs/store.ts";
import type { JobChange } from "../jobs/version.ts";
import { workerOf } from "../log/event.ts";
import { lockJobsOfRuns } from "./lock.ts";
import { isProgressDue, progressOfVersion } from "./progress.ts";
import { letProgressGoCte, type RunWithDueProgress, runsWithDueProgress } from "./store.ts";

/** Makes versions of the progress that had to wait, so that the last one of a second is not lost (section 13). */

/** The most jobs whose progress one transaction records: it keeps their rows locked until it commits. */
const MAX_RUNS_PER_BATCH = 100;
/** Jobs of all workspaces wait. */
const RECORDING = allWorkspaces("waits");

/**
 * Records every progress that may be a version by now, in the name of the worker that reported it. Several servers may do so at once: jobs
 * that another transaction has locked are skipped, and each run is looked at again under its job's lock, where a report has let go of what
 * it took, and of what its end made void. Where nothing waits, it is one read of an empty index, without a transaction.
 * @param signal when aborted, it stops after the current batch.
 * @returns how many versions were made.
 * @throws TryAgainError when the database rolled a batch back too often; the batches before it are committed.
 */
export async function recordProgress(context: CommandContext, signal?: AbortSignal): Promise<number> {
  let recorded = 0;
  for (let last: RunWithDueProgress | undefined; ; ) {
    if (signal?.aborted) return recorded;
    const due = await within(RECORDING, () => runsWithDueProgress(context.prisma, MAX_RUNS_PER_BATCH, last));
    if (due.length > 0) recorded += await recordBatch(context, due);
    if (due.length < MAX_RUNS_PER_BATCH) return recorded;
    last = due.at(-1);
  }
}

function recordBatch(context: CommandContext, due: readonly RunWithDueProgress[]): Promise<number> {
  return inTransaction(context, RECORDING, async (tx) => {
    const refs = due.map(({ id }) => ({ workflowRunId: id }));
    const locked = [...(await lockJobsOfRuns(tx, refs, "SKIP")).values()];
    const stillDue = locked.filter(({ run, now }) => isProgressDue(run, now));
    const written = await writeVersions(
      tx,
      stillDue.map(
        ({ job, run }): JobChange<LockedJobWithWriteScope> => ({
          job,
          set: progressOfVersion(job, run),
          event: { type: "METRICS_RECORDED", by: workerOf(run), payload: {} },
        }),
      ),
      letProgressGoCte(stillDue.map(({ run }) => run)),
    );
    return written.length;
  });
}
