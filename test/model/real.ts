import { randomUUID } from "node:crypto";
import { type AiJob, Prisma, type Quota, type WorkflowRun } from "../../src/db/generated/client/client.ts";
import type { Database } from "../../src/db/open.ts";
import type { JsonValue } from "../../src/db/rows.ts";
import { inTransaction } from "../../src/db/transaction.ts";
import type { Engine } from "../../src/engine.ts";
import { AppError } from "../../src/errors.ts";
import { cancelLockedJobs } from "../../src/jobs/cancel.ts";
import { lockJobs } from "../../src/jobs/lock.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import type { QuotaUsage } from "../../src/quotas/usage.ts";
import { engineOn, SOMEBODY, submitted } from "../support/engine.ts";
import { expireLease } from "../support/jobs.ts";
import { theJob } from "./payload.ts";
import type { Report } from "./reports.ts";

/** No wait is over before a sequence says so. */
const DAY = 24 * 60 * 60 * 1000;

/** The server's side of one sequence: its own workspaces, and which id and token each number of the model stands for. */
export class Real {
  readonly engine: Engine;
  /** In their order, which is that of their turns. */
  readonly workspaceIds: readonly string[] = [randomUUID(), randomUUID(), randomUUID()].toSorted();
  readonly jobIds: string[] = [];
  readonly #workspaceOf = new Map<string, string>();
  readonly #quotaIds: string[] = [];
  readonly #claims: { readonly run: WorkflowRun; readonly leaseToken: string }[] = [];

  /** A job of another workspace, which nothing here may reach. */
  readonly #elsewhere: string;

  constructor(database: Database, elsewhere: string) {
    this.engine = engineOn(database, { backoff: { firstMs: DAY, maxMs: DAY }, revisePreferenceMs: DAY });
    this.#elsewhere = elsewhere;
  }

  workspaceId(number: number): string {
    const id = this.workspaceIds[number];
    if (id === undefined) throw new Error(`There is no workspace ${number}.`);
    return id;
  }

  /** The workspace of a job; of somebody who has no right to it, for -1. */
  workspaceOf(job: number): string {
    return this.#workspaceOf.get(this.jobId(job)) ?? this.workspaceId(0);
  }

  /** The id of a job; for -1, of one that is in another workspace. */
  jobId(number: number): string {
    return this.jobIds[number] ?? this.#elsewhere;
  }

  /** The number of a job, which it gets when it is first seen. */
  numberOf({ jobId, workspaceId }: Pick<AiJob, "jobId" | "workspaceId">): number {
    if (!this.jobIds.includes(jobId)) this.jobIds.push(jobId);
    this.#workspaceOf.set(jobId, workspaceId);
    return this.jobIds.indexOf(jobId);
  }

  /** A payload in the model's words: jobs by their numbers. */
  inNumbers(payload: JsonValue): unknown {
    const text = JSON.stringify(payload).replace(/"([0-9a-f-]{36})"/g, (quoted, jobId: string) =>
      this.jobIds.includes(jobId) ? JSON.stringify(theJob({ number: this.jobIds.indexOf(jobId) })) : quoted,
    );
    const told: unknown = JSON.parse(text);
    return told;
  }

  /** The number of a quota, which it gets when it is first seen. */
  quotaNumber({ id }: Pick<Quota, "id">): number {
    if (!this.#quotaIds.includes(id)) this.#quotaIds.push(id);
    return this.#quotaIds.indexOf(id);
  }

  /** The id of a quota; of none, where it is no number of one. */
  quotaId(number: number): string {
    return this.#quotaIds[number] ?? randomUUID();
  }

  keep(claim: { readonly run: WorkflowRun; readonly leaseToken: string }): void {
    this.#claims.push(claim);
  }

  /** What a worker sends to prove its lease; for a claim that nobody has, something of the right shape. */
  proof({ run, token, reportId }: Report) {
    return {
      workflowRunId: this.#claims[run]?.run.id ?? randomUUID(),
      leaseToken: this.#claims[token]?.leaseToken ?? "A".repeat(43),
      reportId: reportId === null ? null : `00000000-0000-4000-8000-${String(reportId).padStart(12, "0")}`,
    };
  }

  /** A refusal in the model's words. */
  refusal(error: AppError): object {
    const { code } = error;
    return {
      code,
      ...("directive" in error && error.directive !== null ? { directive: error.directive } : {}),
      ...("freesAt" in error && error.freesAt !== null ? { frees: true } : {}),
      ...("from" in error && "to" in error ? { from: error.from, to: error.to } : {}),
      ...("missingCapability" in error ? { missingCapability: error.missingCapability } : {}),
      ...("job" in error && isJob(error.job) ? { job: this.numberOf(error.job) } : {}),
    };
  }

  /** An answer in the model's words. */
  answer<T>(result: T, done: (result: Exclude<T, AppError>) => object): object {
    if (result instanceof AppError) return this.refusal(result);
    return isDone(result) ? done(result) : {};
  }

  /** A quota in the model's words. */
  pictureOfQuota({ workspaceId, capabilityProfileId: profile, resource, max, used, freesAt }: QuotaUsage) {
    const workspace = this.workspaceIds.indexOf(workspaceId);
    return { workspace, profile, resource, max: Number(max), used: Number(used), frees: freesAt !== null };
  }

  /** Ends whatever has not, so that no claim or sweep of another sequence comes upon it. */
  cancelAll(): Promise<unknown> {
    return inTransaction(this.engine, async (tx) => {
      const mine = Prisma.sql`workspace_id = ANY(${this.workspaceIds}::uuid[])`;
      const open = Prisma.sql`state NOT IN ('completed', 'completed_with_issues', 'failed', 'cancelled', 'poisoned')`;
      const jobs = await lockJobs(tx, Prisma.sql`${mine} AND ${open}`);
      await cancelLockedJobs(tx, [...jobs.values()], SOMEBODY, "The sequence is over.");
    });
  }

  /** Puts the end of a claim's lease into the past. */
  async endLease(claim: number): Promise<void> {
    const held = this.#claims[claim];
    if (held) await expireLease(this.engine, held);
  }

  /** Puts a time of a job into the past, without a version, as only time can. */
  async passTime(column: "run_after" | "preferred_until", job: number): Promise<void> {
    const { prisma } = this.engine;
    await prisma.$transaction([
      prisma.$executeRaw`ALTER TABLE ai_jobs DISABLE TRIGGER USER`,
      prisma.$executeRaw`
        UPDATE ai_jobs SET ${Prisma.raw(column)} = date_trunc('milliseconds', clock_timestamp()) - interval '1 hour'
        WHERE job_id = ${this.jobId(job)}::uuid`,
      prisma.$executeRaw`ALTER TABLE ai_jobs ENABLE TRIGGER USER`,
    ]);
  }
}

export const LATER = new Date("2200-01-01T00:00:00Z");

/** A job of another workspace, which is due for nobody. */
export async function jobElsewhere(database: Database): Promise<string> {
  return (await submitted(engineOn(database), { runAfter: LATER })).jobId;
}

function isDone<T>(result: T): result is Exclude<T, AppError> {
  return !(result instanceof AppError);
}

function isJob(value: unknown): value is AiJob {
  return typeof value === "object" && value !== null && "jobId" in value;
}

/** A delta as the domain takes it: every counter that is left out is 0. */
export const metrics = (delta: Partial<typeof NO_METRICS>) => ({ ...NO_METRICS, ...delta });
