import { type ScopedId, scopedIdTable } from "../db/batched-read.ts";
import { Prisma, type PrismaClient } from "../db/generated/client/client.ts";

/** How long a job has waited and run, over all its attempts (section 3). */
export interface JobTimes {
  readonly workspaceId: string;
  readonly jobId: string;
  /** When its first run started; null before that. */
  readonly startedAt: Date | null;
  /** Milliseconds in QUEUED, also while it was not due yet. */
  readonly queuedMs: bigint;
  /** Milliseconds in RUNNING. */
  readonly runMs: bigint;
}

/**
 * Computes the times of several jobs from their events, in one statement. Each event says in which state the job was from then
 * until the next one; the latest holds until now.
 */
export function readJobTimes(prisma: PrismaClient, jobs: readonly ScopedId[]): Promise<JobTimes[]> {
  return prisma.$queryRaw<JobTimes[]>`
    SELECT workspace_id AS "workspaceId", job_id AS "jobId",
      min(recorded_at) FILTER (WHERE state = 'running') AS "startedAt",
      ${millisecondsIn("queued")} AS "queuedMs", ${millisecondsIn("running")} AS "runMs"
    FROM (
      SELECT workspace_id, job_id, state, recorded_at,
        coalesce(lead(recorded_at) OVER (PARTITION BY job_id ORDER BY version), clock_timestamp()) AS until
      FROM ${scopedIdTable(jobs)}
      JOIN flight_recorder_events ON job_id = requested_id AND workspace_id = requested_workspace_id
    ) AS span
    GROUP BY workspace_id, job_id`;
}

/** Never negative: the clock of the database may have stepped back since the latest event. */
function millisecondsIn(state: "queued" | "running"): Prisma.Sql {
  return Prisma.sql`coalesce(
    sum(greatest(round(extract(epoch FROM until - recorded_at) * 1000), 0)) FILTER (WHERE state = ${state}::"JobState"), 0)::bigint`;
}
