import { expect } from "vitest";
import { Prisma } from "../../src/db/generated/client/client.ts";
import { metricsOf } from "../../src/db/metrics.ts";
import { readQuotaUsage } from "../../src/quotas/usage.ts";
import { expectSound, type Records, recordsOfAll } from "../support/records.ts";
import { quotaView } from "./quotas.ts";
import type { Real } from "./real.ts";
import { holdsLease, isActive, type Job, latestRun, type Metrics, type World } from "./world.ts";

/** Compares the answer of the server with that of the model. */
export function expectAnswer(actual: unknown, expected: unknown): void {
  expect(actual).toEqual(expected);
}

/** Compares all rows of these jobs with the model. @returns the rows, by job id. */
export async function expectSame(real: Real, jobs: readonly Job[]): Promise<ReadonlyMap<string, Records>> {
  if (jobs.length === 0) return new Map();
  const jobIds = jobs.map(({ number }) => real.jobId(number));
  const records = await recordsOfAll(real.engine.prisma, jobIds);
  expect(jobIds.map((jobId) => recordsView(real, records.get(jobId)))).toEqual(jobs.map(jobView));
  return records;
}

/** Compares all quotas, jobs and trees of all workspaces with the model, and checks the hash chain of every job. */
export async function expectWhole(world: World, real: Real): Promise<void> {
  const { jobs } = world;
  const records = await expectSame(real, jobs);
  for (const each of records.values()) expectSound(each);
  const quotas = await readQuotaUsage(real.engine.prisma, Prisma.sql`workspace_id = ANY(${real.workspaceIds}::uuid[])`);
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
  const { state, reason, hasError, version, attempt, revisions, metrics, outputs, issues } = job;
  return {
    job: { state, reason, hasError, version, attempt, revisions, outputs, issues, metrics },
    preferred: job.preferred?.worker ?? null,
    runAfter: job.runAfter !== "none",
    ended: ["COMPLETED", "COMPLETED_WITH_ISSUES", "CANCELLED", "POISONED"].includes(state),
    latest: latestRun(job)?.attempt ?? 0,
    runs: job.runs.map((run) => ({
      attempt: run.attempt,
      worker: run.worker,
      state: run.state,
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
  const { job, runs, nodes, events } = records;
  const { state, statusReason: reason, version, attempt, revisions, jobOutputs: outputs, issues } = job;
  const attemptOf = new Map<string | null, number>(runs.map((run) => [run.id, run.attempt]));
  const now = Date.now();
  return {
    job: {
      state,
      reason,
      hasError: job.errorMessage !== null,
      version,
      attempt,
      revisions,
      outputs,
      issues,
      metrics: numbers(job),
    },
    preferred: job.preferredWorkerId,
    runAfter: job.runAfter !== null,
    ended: job.completedAt !== null,
    latest: attemptOf.get(job.workflowRunId) ?? 0,
    runs: runs.map((run) => ({
      attempt: run.attempt,
      worker: run.workerId,
      state: run.state,
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
