import { randomUUID } from "node:crypto";
import type { Database } from "../../src/db/database.ts";
import { type AiJob, Prisma, type Quota } from "../../src/db/generated/client/client.ts";
import type { JsonValue, Run } from "../../src/db/rows.ts";
import { inTransaction } from "../../src/db/transaction.ts";
import type { EngineContext } from "../../src/engine.ts";
import { AppError } from "../../src/errors.ts";
import { cancelLockedJobs } from "../../src/jobs/cancel.ts";
import { lockJobs } from "../../src/jobs/lock.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import type { QuotaUsage } from "../../src/quotas/usage.ts";
import { testSide } from "../support/database.ts";
import { EVERYWHERE, engineOn, SOMEBODY, submitted } from "../support/engine.ts";
import { expireLease } from "../support/jobs.ts";
import { theJob } from "./payload.ts";
import type { Report } from "./reports.ts";

/** Longer than any sequence, in milliseconds: a wait is over only when a step says so. */
const DAY_MS = 24 * 60 * 60 * 1000;

/** The server's side of one sequence: its own workspaces, and the id or token for each number of the model. */
export class Real {
  readonly engine: EngineContext;
  /** Sorted, because the turns of workspaces follow the order of their ids. */
  readonly workspaceIds: readonly string[] = [randomUUID(), randomUUID(), randomUUID()].toSorted();
  readonly jobIds: string[] = [];
  readonly #workspaceOf = new Map<string, string>();
  readonly #quotaIds: string[] = [];
  readonly #claims: { readonly run: Run; readonly leaseToken: string }[] = [];

  /** A job of another workspace, which no step may reach. */
  readonly #foreignJobId: string;

  constructor(database: Database, foreignJobId: string) {
    this.engine = engineOn(database, {
      backoff: { firstMs: DAY_MS, maxMs: DAY_MS },
      revisePreferenceMs: DAY_MS,
      progressIntervalMs: DAY_MS,
    });
    this.#foreignJobId = foreignJobId;
  }

  workspaceId(number: number): string {
    const id = this.workspaceIds[number];
    if (id === undefined) throw new Error(`There is no workspace ${number}.`);
    return id;
  }

  /** The workspace of a job; for -1, a workspace that the job is not in. */
  workspaceOf(job: number): string {
    return this.#workspaceOf.get(this.jobId(job)) ?? this.workspaceId(0);
  }

  /** The id of a job; for -1, the id of a job in another workspace. */
  jobId(number: number): string {
    return this.jobIds[number] ?? this.#foreignJobId;
  }

  /** The number of a job; a new job gets the next number. */
  numberOf({ jobId, workspaceId }: Pick<AiJob, "jobId" | "workspaceId">): number {
    if (!this.jobIds.includes(jobId)) this.jobIds.push(jobId);
    this.#workspaceOf.set(jobId, workspaceId);
    return this.jobIds.indexOf(jobId);
  }

  /** A payload in the terms of the model: with numbers instead of job ids. */
  inNumbers(payload: JsonValue): unknown {
    const text = JSON.stringify(payload).replace(/"([0-9a-f-]{36})"/g, (quoted, jobId: string) =>
      this.jobIds.includes(jobId) ? JSON.stringify(theJob({ number: this.jobIds.indexOf(jobId) })) : quoted,
    );
    const translated: unknown = JSON.parse(text);
    return translated;
  }

  /** The number of a quota; a new quota gets the next number. */
  quotaNumber({ id }: Pick<Quota, "id">): number {
    if (!this.#quotaIds.includes(id)) this.#quotaIds.push(id);
    return this.#quotaIds.indexOf(id);
  }

  /** The id of a quota; an unknown id if there is no such quota. */
  quotaId(number: number): string {
    return this.#quotaIds[number] ?? randomUUID();
  }

  addClaim(claim: { readonly run: Run; readonly leaseToken: string }): void {
    this.#claims.push(claim);
  }

  /** The fields by which a worker proves its lease; for a claim that does not exist, values of the right form. */
  proof({ run, token, reportId }: Report) {
    return {
      workflowRunId: this.#claims[run]?.run.id ?? randomUUID(),
      leaseToken: this.#claims[token]?.leaseToken ?? "A".repeat(43),
      reportId: reportId === null ? null : `00000000-0000-4000-8000-${String(reportId).padStart(12, "0")}`,
    };
  }

  /** A refusal in the terms of the model. */
  refusal(error: AppError): object {
    const { code } = error;
    return {
      code,
      ...(error.directive === null ? {} : { directive: error.directive }),
      ...("freesAt" in error && error.freesAt !== null ? { frees: true } : {}),
      ...("from" in error && "to" in error ? { from: error.from, to: error.to } : {}),
      ...("missingCapability" in error ? { missingCapability: error.missingCapability } : {}),
      ...("job" in error && isJob(error.job) ? { job: this.numberOf(error.job) } : {}),
    };
  }

  /** An answer in the terms of the model. */
  answer<T>(result: T, done: (result: Exclude<T, AppError>) => object): object {
    if (result instanceof AppError) return this.refusal(result);
    return isDone(result) ? done(result) : {};
  }

  /** A quota in the terms of the model. */
  quotaView({ workspaceId, capabilityProfileId: profile, resource, max, used, freesAt }: QuotaUsage) {
    const workspace = this.workspaceIds.indexOf(workspaceId);
    return { workspace, profile, resource, max: Number(max), used: Number(used), frees: freesAt !== null };
  }

  /** Cancels all jobs that have not ended, so that no claim or recovery of another sequence finds them. */
  cancelAll(): Promise<unknown> {
    return inTransaction(this.engine, EVERYWHERE, async (tx) => {
      const mine = Prisma.sql`workspace_id = ANY(${this.workspaceIds}::uuid[])`;
      const open = Prisma.sql`state NOT IN ('completed', 'completed_with_issues', 'failed', 'cancelled', 'poisoned')`;
      const jobs = await lockJobs(tx, Prisma.sql`${mine} AND ${open}`);
      await cancelLockedJobs(tx, [...jobs.values()], SOMEBODY, "The sequence is over.");
    });
  }

  /** Makes a claim's lease expired. */
  async endLease(claim: number): Promise<void> {
    const delivered = this.#claims[claim];
    if (delivered) await expireLease(this.engine, delivered);
  }

  /** Puts a time of a job into the past. It makes no version, because the passing of time makes none either. */
  async passTime(column: "run_after" | "preferred_until", job: number): Promise<void> {
    const prisma = testSide(this.engine);
    await prisma.$transaction([
      prisma.$executeRaw`ALTER TABLE ai_jobs DISABLE TRIGGER USER`,
      prisma.$executeRaw`
        UPDATE ai_jobs SET ${Prisma.raw(column)} = date_trunc('milliseconds', clock_timestamp()) - interval '1 hour'
        WHERE job_id = ${this.jobId(job)}::uuid`,
      prisma.$executeRaw`ALTER TABLE ai_jobs ENABLE TRIGGER USER`,
    ]);
  }

  /** The same for the second after a job's progress, and for what waits for it to pass with its latest run. */
  async passSecond(job: number): Promise<void> {
    const prisma = testSide(this.engine);
    const past = Prisma.sql`date_trunc('milliseconds', clock_timestamp()) - interval '2 days'`;
    const id = this.jobId(job);
    await prisma.$transaction([
      prisma.$executeRaw`ALTER TABLE ai_jobs DISABLE TRIGGER USER`,
      prisma.$executeRaw`UPDATE ai_jobs SET progress_at = ${past} WHERE job_id = ${id}::uuid AND progress_at IS NOT NULL`,
      prisma.$executeRaw`ALTER TABLE ai_jobs ENABLE TRIGGER USER`,
      prisma.$executeRaw`ALTER TABLE workflow_runs DISABLE TRIGGER USER`,
      prisma.$executeRaw`
        UPDATE workflow_runs SET started_at = ${past}, next_progress_at = CASE WHEN next_progress_at IS NULL THEN NULL ELSE ${past} END
        WHERE job_id = ${id}::uuid`,
      prisma.$executeRaw`ALTER TABLE workflow_runs ENABLE TRIGGER USER`,
    ]);
  }
}

export const LATER = new Date("2200-01-01T00:00:00Z");

/** Submits a job that is never due in another workspace. @returns its id. */
export async function foreignJob(database: Database): Promise<string> {
  return (await submitted(engineOn(database), { runAfter: LATER })).jobId;
}

function isDone<T>(result: T): result is Exclude<T, AppError> {
  return !(result instanceof AppError);
}

function isJob(value: unknown): value is AiJob {
  return typeof value === "object" && value !== null && "jobId" in value;
}

/** The metrics of a report; every counter that is left out is 0. */
export const metrics = (delta: Partial<typeof NO_METRICS>) => ({ ...NO_METRICS, ...delta });
