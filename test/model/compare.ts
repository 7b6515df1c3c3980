import { expect } from "vitest";
import { EVENT_COLUMNS, metricsOf } from "../../src/storage/columns.ts";
import type { FlightRecorderEvent, PrismaClient } from "../../src/storage/generated/client/client.ts";
import { expectSound, type Records, recordsOfAll } from "../support/records.ts";
import type { Real } from "./real.ts";
import { holdsLease, type Job, latestRun, type Metrics, type World } from "./world.ts";

/** What the model says that a mutation answers, held against what the server answered. */
export function expectAnswer(actual: unknown, expected: unknown): void {
  expect(actual).toEqual(expected);
}

/**
 * Everything of every job: what the model says, held against what the database holds.
 * @param seen how many events of each job were held against the model before: the log only grows.
 */
export async function expectSame(world: World, real: Real, seen: readonly number[] = []): Promise<void> {
  const since = real.jobIds.map((_, number) => seen[number] ?? 0);
  const records = await recordsSince(real.engine.prisma, real.jobIds, since);
  const stored = real.jobIds.map((jobId) => pictureOfRecords(records.get(jobId)));
  expect(stored).toEqual(world.jobs.map((job, number) => pictureOfJob(job, since[number])));
}

/** The chain of every job is unbroken, with one event for each version. */
export async function expectChained(real: Real): Promise<void> {
  for (const records of (await recordsOfAll(real.engine.prisma, real.jobIds)).values()) expectSound(records);
}

async function recordsSince(
  prisma: PrismaClient,
  jobIds: readonly string[],
  since: readonly number[],
): Promise<ReadonlyMap<string, Records>> {
  const where = { jobId: { in: [...jobIds] } };
  const jobs = await prisma.aiJob.findMany({ where });
  const runs = await prisma.workflowRun.findMany({ where, orderBy: { attempt: "asc" } });
  const runIds = runs.map(({ id }) => id);
  const nodes = await prisma.nodeExecution.findMany({
    where: { workflowRunId: { in: runIds } },
    orderBy: { sequence: "asc" },
  });
  const events = await prisma.$queryRaw<FlightRecorderEvent[]>`
    SELECT ${EVENT_COLUMNS} FROM flight_recorder_events
    JOIN unnest(${jobIds}::uuid[], ${since}::int[]) AS seen (of_job, up_to) ON job_id = of_job AND version > up_to
    ORDER BY version`;
  return new Map(
    jobs.map((job) => {
      const ofJob = runs.filter(({ jobId }) => jobId === job.jobId);
      const inJob = nodes.filter(({ workflowRunId }) => ofJob.some(({ id }) => id === workflowRunId));
      return [job.jobId, { job, runs: ofJob, nodes: inJob, events: events.filter(({ jobId }) => jobId === job.jobId) }];
    }),
  );
}

function pictureOfJob(job: Job, seen = 0) {
  const { state, reason, hasError, version, attempt, metrics, outputs, issues } = job;
  return {
    job: { state, reason, hasError, version, attempt, outputs, issues, metrics },
    runAfter: job.runAfter !== "none",
    ended: ["COMPLETED", "COMPLETED_WITH_ISSUES", "CANCELLED", "POISONED"].includes(state),
    latest: latestRun(job)?.attempt ?? 0,
    runs: job.runs.map((run) => ({
      attempt: run.attempt,
      worker: run.worker,
      state: run.state,
      hasError: run.hasError,
      lease: run.state === "RUNNING" ? (holdsLease(run) ? "held" : "over") : "none",
      ended: run.state !== "RUNNING",
      nodes: run.nodes.map((node, index) => ({ ...node, sequence: index + 1, ended: node.state !== "RUNNING" })),
    })),
    events: job.events.slice(seen),
  };
}

type Picture = ReturnType<typeof pictureOfJob>;

function pictureOfRecords(records: Records | undefined): Picture | null {
  if (!records) return null;
  const { job, runs, nodes, events } = records;
  const { state, statusReason: reason, version, attempt, jobOutputs: outputs, issues } = job;
  const attemptOf = new Map<string | null, number>(runs.map((run) => [run.id, run.attempt]));
  const now = Date.now();
  return {
    job: {
      state,
      reason,
      hasError: job.errorMessage !== null,
      version,
      attempt,
      outputs,
      issues,
      metrics: numbers(job),
    },
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
