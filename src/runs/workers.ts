import { Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import type { JobKind } from "../db/generated/client/enums.ts";
import type { Slice } from "../db/slice.ts";

/** A worker that holds jobs: what its runs tell of it. */
export interface Worker {
  readonly workerId: string;
  /** The kinds of the jobs that it holds, each once, in the order of their names. */
  readonly jobKinds: readonly JobKind[];
  /** The number of its leases that have not expired. */
  readonly leases: number;
  /** When it last claimed a job or renewed a lease. */
  readonly lastHeard: Date;
}

/**
 * Lists the workers that hold jobs of a workspace, by their ids. A worker whose leases have all expired is listed until
 * recovery has taken its jobs from it. Its cost grows with the number of running jobs, and with nothing else.
 * @returns the workers of the slice; in the reverse order where the slice counts from the end.
 */
export function listWorkers(
  prisma: PrismaClient,
  workspaceId: string,
  { limit, after, before, fromEnd }: Slice<string>,
): Promise<Worker[]> {
  const bounds = [
    ...(after === undefined ? [] : [Prisma.sql`AND worker_id > ${after}`]),
    ...(before === undefined ? [] : [Prisma.sql`AND worker_id < ${before}`]),
  ];
  return prisma.$queryRaw<Worker[]>`
    SELECT worker_id AS "workerId", array_agg(DISTINCT upper(job_kind::text)) AS "jobKinds",
      count(*) FILTER (WHERE lease_expires_at > clock_timestamp())::int AS leases, max(last_heartbeat) AS "lastHeard"
    FROM ai_jobs JOIN workflow_runs run ON run.id = workflow_run_id
    WHERE ai_jobs.workspace_id = ${workspaceId}::uuid AND ai_jobs.state = 'running'
      ${bounds.length === 0 ? Prisma.empty : Prisma.join(bounds, " ")}
    GROUP BY worker_id ORDER BY worker_id ${fromEnd ? Prisma.sql`DESC` : Prisma.sql`ASC`} LIMIT ${limit}`;
}
