import type { PrismaClient } from "../db/generated/client/client.ts";
import { allWorkspaces, within } from "../db/scope.ts";

/** The runs whose output one statement deletes: few, because each may have 65,536 chunks, and a statement has a time limit. */
const RUNS_AT_ONCE = 5;

/**
 * Deletes the output of runs that ended more than an hour ago (section 13), of all workspaces in turn. Several servers may do so at
 * once: whoever comes second skips the runs that the first is at.
 * @param signal once aborted, no further batch is begun.
 */
export async function deleteOldOutput(prisma: PrismaClient, signal?: AbortSignal): Promise<void> {
  while (!signal?.aborted) {
    const deleted = await within(
      allWorkspaces("recovery"),
      () => prisma.$executeRaw`
      DELETE FROM output_chunks c USING (
        SELECT r.job_id, r.attempt FROM output_chunks first JOIN workflow_runs r ON r.id = first.workflow_run_id
        WHERE first.sequence = 1 AND r.finished_at < clock_timestamp() - interval '1 hour'
        LIMIT ${RUNS_AT_ONCE} FOR NO KEY UPDATE OF r SKIP LOCKED) AS old
      WHERE c.job_id = old.job_id AND c.attempt = old.attempt`,
    );
    if (deleted === 0) return;
  }
}
