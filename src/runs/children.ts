import { Prisma } from "../db/generated/client/client.ts";
import { PREPARE_MARKER } from "../db/prepared.ts";
import { allWorkspaces } from "../db/scope.ts";
import { type CommandContext, inTransaction, type Transaction } from "../db/transaction.ts";
import { type LockedJobSummary, lockJobSummaries } from "../jobs/lock.ts";
import { transitionTo } from "../jobs/state.ts";
import { writeVersions } from "../jobs/store.ts";
import type { JobChange } from "../jobs/version.ts";
import { SYSTEM_ACTOR } from "../log/event.ts";

/**
 * Wakes jobs that wait for their children (section 13). Ids carry no order between servers, so whoever ends a child must not lock its
 * parent: it could hold a row that another transaction waits for, which holds the parent. The parent is woken by a step of its own, which
 * locks nothing else. A server that ended a child hints at the parent when that has committed; a sweep finds what hints did not.
 *
 * What can run at the same time:
 * - Another child ends. It is seen by the second look, or hints at the parent when it has committed.
 * - A child is submitted: its submit locks the parent FOR SHARE, and so comes before this transaction, whose second look then sees it, or
 *   after it, and then the parent is due although it has a child again, as one that submits while it runs.
 * - The parent is cancelled or poisoned: it is locked by then, and is skipped, or has another state when it is locked here.
 * - Another server wakes the same job: it is skipped, or does not wait any more.
 */

/** The most jobs that one transaction wakes: it keeps their rows locked until it commits. */
const MAX_JOBS_PER_BATCH = 100;
/** Jobs of all workspaces wait. */
const WAKING = allWorkspaces("waits");

const WITHOUT_CHILDREN_AT_WORK = Prisma.sql`NOT EXISTS (
  SELECT FROM ai_jobs child WHERE child.parent_job_id = ai_jobs.job_id AND child.parent_job_id IS NOT NULL AND child.ended_at IS NULL)`;

/**
 * Queues the jobs that wait for their children, all of which have ended.
 * @param parentIds only these jobs; left out: all.
 * @param signal when aborted, it stops after the current batch.
 * @returns how many were woken.
 * @throws TryAgainError when the database rolled a batch back too often; the batches before it are committed.
 */
export async function wakeParents(
  context: CommandContext,
  parentIds?: readonly string[],
  signal?: AbortSignal,
): Promise<number> {
  const isNamed = parentIds ? Prisma.sql`job_id = ANY(${parentIds}::uuid[])` : Prisma.sql`true`;
  const condition = Prisma.sql`job_id IN (
    SELECT job_id FROM ai_jobs WHERE waits_for = 'children' AND ${isNamed} AND ${WITHOUT_CHILDREN_AT_WORK} LIMIT ${MAX_JOBS_PER_BATCH})
    AND waits_for = 'children'`;
  for (let woken = 0; ; ) {
    if (signal?.aborted) return woken;
    const { locked, changed } = await inTransaction(context, WAKING, (tx) => wakeBatch(tx, condition));
    woken += changed;
    if (locked < MAX_JOBS_PER_BATCH) return woken;
  }
}

async function wakeBatch(tx: Transaction, condition: Prisma.Sql) {
  const locked = await lockJobSummaries(tx, condition, "SKIP");
  const changes = await readyOf(tx, locked).then((jobs) => jobs.map(wake));
  await writeVersions(tx, changes);
  return { locked: locked.length, changed: changes.length };
}

/** The second look: a statement that waits for a lock rereads the locked row alone, and not the children. */
async function readyOf(tx: Transaction, locked: readonly LockedJobSummary[]): Promise<readonly LockedJobSummary[]> {
  if (locked.length === 0) return [];
  const ids = locked.map(({ jobId }) => jobId);
  const rows = await tx.$queryRaw<{ readonly jobId: string }[]>`
    ${PREPARE_MARKER} SELECT job_id AS "jobId" FROM ai_jobs WHERE job_id = ANY(${ids}::uuid[]) AND ${WITHOUT_CHILDREN_AT_WORK}`;
  const ready = new Set(rows.map(({ jobId }) => jobId));
  return locked.filter(({ jobId }) => ready.has(jobId));
}

function wake(job: LockedJobSummary): JobChange<LockedJobSummary> {
  return {
    job,
    set: transitionTo(job, "QUEUED", "children_ended"),
    event: { type: "STATE_CHANGED", by: SYSTEM_ACTOR, payload: { reason: "children_ended" } },
  };
}

/**
 * Takes hints that jobs may wait for no child any more. Hints that come while jobs are woken are looked at together afterwards.
 * @param onError called when jobs could not be looked at; the sweep finds them.
 */
export class ChildrenHints {
  readonly #wake: (parentIds: readonly string[]) => Promise<unknown>;
  readonly #onError: (error: unknown) => void;
  #hinted = new Set<string>();
  #running: Promise<void> | undefined;

  constructor(wake: (parentIds: readonly string[]) => Promise<unknown>, onError: (error: unknown) => void) {
    this.#wake = wake;
    this.#onError = onError;
  }

  /** Has these jobs looked at soon. */
  hint(parentIds: readonly string[]): void {
    if (parentIds.length === 0) return;
    for (const id of parentIds) this.#hinted.add(id);
    this.#running ??= this.#run();
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#hinted.size > 0) {
      const ids = [...this.#hinted];
      this.#hinted = new Set();
      await this.#wake(ids).catch(this.#onError);
    }
    this.#running = undefined;
  }
}
