import { expect } from "vitest";
import { Prisma, type UserInputRequest } from "../../src/db/generated/client/client.ts";
import { metricsOf } from "../../src/db/metrics.ts";
import { readQuotaUsage } from "../../src/quotas/usage.ts";
import { testSide } from "../support/database.ts";
import { expectSound, type Records, recordsOfAll } from "../support/records.ts";
import { outputOf, storedOutputs } from "./outputs.ts";
import { quotaView } from "./quotas.ts";
import type { Real } from "./real.ts";
import { expectSameUsage } from "./usage.ts";
import { hasEnded, holdsLease, isActive, type Job, latestRun, type Metrics, type World } from "./world.ts";

/** Compares the answer of the server with that of the model. */
export function expectAnswer(actual: unknown, expected: unknown): void {
  expect(actual).toEqual(expected);
}

/** Compares all rows of these jobs with the model. @returns the rows, by job id. */
export async function expectSame(real: Real, jobs: readonly Job[]): Promise<ReadonlyMap<string, Records>> {
  if (jobs.length === 0) return new Map();
  const jobIds = jobs.map(({ number }) => real.jobId(number));
  const records = await recordsOfAll(testSide(real.engine), jobIds);
  expect(jobIds.map((jobId) => recordsView(real, records.get(jobId)))).toEqual(jobs.map(jobView));
  return records;
}

/** Compares all quotas, jobs and trees of all workspaces with the model, and checks the hash chain of every job. */
export async function expectWhole(world: World, real: Real): Promise<void> {
  const { jobs } = world;
  const records = await expectSame(real, jobs);
  for (const each of records.values()) expectSound(each);
  await expectSameUsage(real, jobs, records);
  expect(await storedOutputs(real)).toEqual(jobs.map(outputOf));
  const quotas = await readQuotaUsage(
    testSide(real.engine),
    Prisma.sql`workspace_id = ANY(${real.workspaceIds}::uuid[])`,
  );
  expect(quotas.map((quota) => real.quotaView(quota))).toEqual(
    world.quotas.filter(({ isGone }) => !isGone).map((quota) => quotaView(world, quota)),
  );
  expect(treePositionsOf(real, records)).toEqual(jobs.map(treePositionOf));
}

/** A job's position in its tree. All jobs of a tree have the trace of the root. */
function treePositionOf(job: Job) {
  let ancestor = job;
  while (ancestor.parent) ancestor = ancestor.parent;
  const { submit, parent } = job;
  const root = ancestor === job ? null : ancestor.number;
  return { workspace: submit.workspace, parent: parent?.number ?? null, root, trace: ancestor.number };
}

function treePositionsOf(real: Real, records: ReadonlyMap<string, Records>) {
  const traces = real.jobIds.map((jobId) => records.get(jobId)?.job.traceId);
  const numberOf = (jobId: string | null | undefined) => (jobId == null ? null : real.jobIds.indexOf(jobId));
  return real.jobIds.map((jobId, number) => {
    const job = records.get(jobId)?.job;
    return {
      workspace: real.workspaceIds.indexOf(job?.workspaceId ?? ""),
      parent: numberOf(job?.parentJobId),
      root: numberOf(job?.rootJobId),
      trace: traces.indexOf(traces[number]),
    };
  });
}

function jobView(job: Job) {
  const {
    state,
    reason,
    hasError,
    version,
    attempt,
    unchargedAttempts,
    releases,
    waitsFor,
    progress,
    metrics,
    cost,
    outputs,
    issues,
  } = job;
  return {
    job: {
      state,
      reason,
      hasError,
      version,
      attempt,
      unchargedAttempts,
      releases,
      waitsFor,
      progress,
      outputs,
      issues,
      metrics,
      cost,
    },
    limited: waitsFor === "USER_INPUT" && latestRun(job)?.question?.limit !== "none",
    labels: job.labels,
    submittedBy: job.submit.by,
    preferred: job.preferred?.worker ?? null,
    runAfter: job.runAfter !== "none",
    isFinal: ["COMPLETED", "COMPLETED_WITH_ISSUES", "CANCELLED", "POISONED"].includes(state),
    ended: hasEnded(job),
    latest: latestRun(job)?.attempt ?? 0,
    runs: job.runs.map((run) => ({
      attempt: run.attempt,
      worker: run.worker,
      state: run.state,
      endReason: run.endReason,
      outputs: run.outputs,
      waiting: run.waiting,
      question: run.question && { options: run.question.options, answer: run.question.answer },
      hasError: run.hasError,
      lease: run.state === "RUNNING" ? (holdsLease(run) ? "held" : "over") : "none",
      ended: !isActive(run),
      nodes: run.nodes.map((node, index) => ({ ...node, sequence: index + 1, ended: node.state !== "RUNNING" })),
    })),
    events: job.events,
  };
}

type JobView = ReturnType<typeof jobView>;

function recordsView(real: Real, records: Records | undefined): JobView | null {
  if (!records) return null;
  const { job, runs, nodes, questions, events } = records;
  const { state, statusReason: reason, version, attempt, unchargedAttempts, jobOutputs: outputs, issues } = job;
  const attemptOf = new Map<string | null, number>(runs.map((run) => [run.id, run.attempt]));
  const now = Date.now();
  return {
    job: {
      state,
      reason,
      hasError: job.errorMessage !== null,
      version,
      attempt,
      unchargedAttempts,
      releases: job.releases,
      waitsFor: job.waitsFor,
      progress: job.progressAt && { fraction: job.progressFraction, message: job.progressMessage },
      outputs,
      issues,
      metrics: numbers(job),
      cost: Number(job.costMicros),
    },
    labels: records.labels.map(({ key, value }) => ({ key, value })),
    submittedBy: job.submittedBy,
    preferred: job.preferredWorkerId,
    runAfter: job.runAfter !== null,
    limited: job.waitsUntil !== null,
    isFinal: job.completedAt !== null,
    ended: job.endedAt !== null,
    latest: attemptOf.get(job.workflowRunId) ?? 0,
    runs: runs.map((run) => ({
      attempt: run.attempt,
      worker: run.workerId,
      state: run.state,
      endReason: run.endReason,
      outputs: run.outputs,
      waiting: run.nextProgressAt && { fraction: run.nextProgressFraction, message: run.nextProgressMessage },
      question: questionView(questions.find(({ workflowRunId }) => workflowRunId === run.id)),
      hasError: run.errorMessage !== null,
      lease: run.leaseExpiresAt === null ? "none" : run.leaseExpiresAt.getTime() > now ? "held" : "over",
      ended: run.finishedAt !== null,
      nodes: nodes
        .filter(({ workflowRunId }) => workflowRunId === run.id)
        .map((node) => ({
          id: node.nodeId,
          type: node.nodeType,
          dependsOn: node.dependsOn,
          state: node.state,
          input: node.inputPayload,
          output: node.outputPayload,
          hasError: node.errorMessage !== null,
          sequence: node.sequence,
          ended: node.finishedAt !== null,
        })),
    })),
    events: events.map((event) => ({
      type: event.type,
      actor: event.actor,
      actorId: event.actorId,
      state: event.state,
      previousState: event.previousState,
      metrics: numbers(event),
      capability: event.capabilityId,
      payload: real.inNumbers(event.payload),
      attempt: attemptOf.get(event.workflowRunId) ?? 0,
    })),
  };
}

function questionView(question: UserInputRequest | undefined) {
  return question ? { options: question.options, answer: question.answer } : null;
}

function numbers(row: Parameters<typeof metricsOf>[0]): Metrics {
  const { durationMs, totalTokens, inputTokens, outputTokens, tokensPlanner, tokensExecutor, ...rest } = metricsOf(row);
  const { entitiesRead, entitiesWritten, validatorsRunCount } = rest;
  return {
    durationMs: Number(durationMs),
    totalTokens: Number(totalTokens),
    inputTokens: Number(inputTokens),
    outputTokens: Number(outputTokens),
    tokensPlanner: Number(tokensPlanner),
    tokensExecutor: Number(tokensExecutor),
    entitiesRead: Number(entitiesRead),
    entitiesWritten: Number(entitiesWritten),
    validatorsRunCount: Number(validatorsRunCount),
  };
}
