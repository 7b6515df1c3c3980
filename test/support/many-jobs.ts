import type { PrismaClient } from "../../src/db/generated/client/client.ts";

/**
 * Adds 3,000 jobs with a run each that goes on, and an open node of it, and as many queued ones, by plain SQL past every trigger.
 * Without a temporary table, because a new schema for temporary tables makes all sessions forget their plans.
 * @param like the job whose other columns they have.
 */
export async function addManyJobs(prisma: PrismaClient, like: string): Promise<void> {
  await prisma.$transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL session_replication_role = replica`;
    const others = await tx.$queryRaw<{ names: string }[]>`
      SELECT string_agg(quote_ident(column_name), ', ') AS names FROM information_schema.columns
      WHERE table_name = 'ai_jobs' AND table_schema = 'public' AND is_generated = 'NEVER'
        AND column_name NOT IN ('job_id', 'workflow_run_id', 'state', 'idempotency_key')`;
    const names = others[0]?.names ?? "";
    await tx.$executeRawUnsafe(
      `WITH many AS MATERIALIZED (
         SELECT gen_random_uuid() AS job_id, gen_random_uuid() AS run_id, workspace_id AS of_workspace
         FROM generate_series(1, 3000), ai_jobs WHERE ai_jobs.job_id = $1::uuid),
       job AS (
         INSERT INTO ai_jobs (job_id, workflow_run_id, state, ${names})
         SELECT many.job_id, run_id, 'running'::"JobState", ${names} FROM many, ai_jobs j WHERE j.job_id = $1::uuid
         UNION ALL
         SELECT gen_random_uuid(), NULL, 'queued', ${names} FROM many, ai_jobs j WHERE j.job_id = $1::uuid),
       run AS (
         INSERT INTO workflow_runs (id, workspace_id, job_id, attempt, worker_id, lease_token, lease_expires_at)
         SELECT run_id, of_workspace, job_id, 1, 'w', sha256('token'), now() + interval '1 hour' FROM many)
       INSERT INTO node_executions (id, workspace_id, workflow_run_id, node_id, node_type, sequence)
       SELECT gen_random_uuid(), of_workspace, run_id, 'read', 'tool', 1 FROM many`,
      like,
    );
  });
}
