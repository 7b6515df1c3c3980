import type { Claim } from "../../src/claims/acquire-lease.ts";
import { startWorkflow } from "../../src/claims/start.ts";
import type { Database } from "../../src/db/database.ts";
import type { AiJob } from "../../src/db/generated/client/client.ts";
import { allWorkspaces, type Scope } from "../../src/db/scope.ts";
import { type EngineContext, newRotation } from "../../src/engine.ts";
import type { AppError } from "../../src/errors.ts";
import { orThrow } from "../../src/graphql/result.ts";
import type { SubmitAiJob } from "../../src/jobs/draft.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { type Human, humanFor } from "../../src/log/event.ts";
import { OutputWatch } from "../../src/output/watch.ts";
import type { AdvanceWorkflow } from "../../src/runs/advance.ts";
import { createReportedRunsReader } from "../../src/runs/lock.ts";
import { PROGRESS_INTERVAL_MS } from "../../src/runs/progress.ts";
import type { RetrievedSnippet } from "../../src/runs/retrieved-snippets.ts";
import type { Step } from "../../src/runs/steps.ts";
import { guards } from "../../src/security/guards/guards.ts";
import { serverSide } from "./database.ts";

export const WORKSPACE = "00000000-0000-7000-8000-000000000000";
/** The scope of a test's own transactions: row-level security keeps nothing from them. */
export const EVERYWHERE: Scope = allWorkspaces("server");
export const SOMEBODY: Human = humanFor("anonymous");

/** The server's defaults. */
export const BACKOFF = { firstMs: 5_000, maxMs: 900_000 };

/** The engine on a test's database, with the server's guards. */
export function engineOn(database: Database, more: Partial<EngineContext> = {}): EngineContext {
  const { prisma } = serverSide(database);
  return {
    prisma,
    notifyCommit: () => undefined,
    guards,
    guardTimeoutMs: 10_000,
    rotation: newRotation(),
    readReportedRuns: createReportedRunsReader(prisma),
    outputs: new OutputWatch(prisma, database.kind === "postgres" ? 100 : undefined),
    backoff: BACKOFF,
    revisePreferenceMs: 60_000,
    progressIntervalMs: PROGRESS_INTERVAL_MS,
    costCurrency: "USD",
    ...more,
  };
}

/** The input of a submit, with defaults for all that a test does not name. */
export function aSubmit(more: Partial<SubmitAiJob> = {}): SubmitAiJob {
  return {
    jobKind: "DOC_SUMMARIZE",
    protocolId: "test",
    profileId: "default",
    capabilityProfileId: null,
    accessMode: "ANALYSIS_ONLY",
    safetyMode: "NORMAL",
    modelTier: "LOCAL",
    entityRefs: [],
    plannedOperations: [],
    jobInputs: null,
    parentJobId: null,
    priority: 0,
    runAfter: null,
    maxAttempts: 3,
    tokenBudget: null,
    costBudgetMicros: null,
    idempotencyKey: null,
    labels: null,
    ...more,
  };
}

/** A command's result. @throws the command's error, which fails the test. */
export function ok<Result>(result: Result): Exclude<Result, AppError> {
  return orThrow(result);
}

/** Submits a job. @returns the job. */
export async function submitted(engine: EngineContext, more: Partial<SubmitAiJob> = {}): Promise<AiJob> {
  return ok(await submitAiJob(engine, WORKSPACE, SOMEBODY, aSubmit(more))).job;
}

/** Submits a job and starts it as worker-1. @returns the claim: job, run and lease token. */
export async function started(
  engine: EngineContext,
  more: Partial<SubmitAiJob> = {},
  leaseSeconds = 30,
): Promise<Claim> {
  const { jobId } = await submitted(engine, more);
  const claim = ok(await startWorkflow(engine, WORKSPACE, { jobId, workerId: "worker-1", leaseSeconds }));
  if (!("leaseToken" in claim)) throw new Error("The job was poisoned instead of started.");
  return claim;
}

/** A snippet as a worker sends it that says nothing of its source. */
export function aSnippet(content: string, sourceId = "doc-1"): RetrievedSnippet {
  return { sourceId, content, sensitivity: "UNKNOWN", exportable: false };
}

/** A step, by default one that starts. */
export function step(nodeId: string, more: Partial<Step> = {}): Step {
  return {
    nodeId,
    nodeType: "tool",
    outcome: "STARTED",
    inputPayload: null,
    outputPayload: null,
    errorMessage: null,
    ...more,
  };
}

/** The report of a step, by default of one that starts, for the run of this claim. */
export function aStep(claim: Claim, nodeId: string, more: Partial<Step> = {}): AdvanceWorkflow {
  return {
    workflowRunId: claim.run.id,
    leaseToken: claim.leaseToken,
    steps: [step(nodeId, more)],
    retrievedSnippets: [],
    metrics: NO_METRICS,
  };
}
