import { expect } from "vitest";
import { z } from "zod";
import type { NodeExecution, PrismaClient, WorkflowRun } from "../../src/db/generated/client/client.ts";
import { metricsOf } from "../../src/db/metrics.ts";
import type { Progress } from "../../src/jobs/progress.ts";
import { CHAIN_START, hashEvent } from "../../src/log/hash.ts";

/** All rows of one job: the job, its labels, its runs, its nodes, its questions and its events. */
export type Records = Awaited<ReturnType<typeof recordsOf>>;

export async function recordsOf(prisma: PrismaClient, jobId: string) {
  const job = await prisma.aiJob.findUniqueOrThrow({ where: { jobId } });
  const labels = await prisma.jobLabel.findMany({ where: { jobId }, orderBy: { key: "asc" } });
  const runs = await prisma.workflowRun.findMany({ where: { jobId }, orderBy: { attempt: "asc" } });
  const nodes = await prisma.nodeExecution.findMany({
    where: { workflowRunId: { in: runs.map(({ id }) => id) } },
    orderBy: [{ workflowRunId: "asc" }, { sequence: "asc" }],
  });
  const questions = await prisma.userInputRequest.findMany({ where: { jobId }, orderBy: { requestId: "asc" } });
  const events = await prisma.flightRecorderEvent.findMany({ where: { jobId }, orderBy: { version: "asc" } });
  return { job, labels, runs, nodes, questions, events };
}

/** The rows of many jobs, read in six statements. @returns them by job id. */
export async function recordsOfAll(
  prisma: PrismaClient,
  jobIds: readonly string[],
): Promise<ReadonlyMap<string, Records>> {
  const where = { jobId: { in: [...jobIds] } };
  const jobs = await prisma.aiJob.findMany({ where });
  const labels = await prisma.jobLabel.findMany({ where, orderBy: { key: "asc" } });
  const runs = await prisma.workflowRun.findMany({ where, orderBy: { attempt: "asc" } });
  const ids = runs.map(({ id }) => id);
  const nodes = await prisma.nodeExecution.findMany({
    where: { workflowRunId: { in: ids } },
    orderBy: [{ workflowRunId: "asc" }, { sequence: "asc" }],
  });
  const questions = await prisma.userInputRequest.findMany({ where, orderBy: { requestId: "asc" } });
  const events = await prisma.flightRecorderEvent.findMany({ where, orderBy: { version: "asc" } });
  const all = new Map<string, Records>(
    jobs.map((job) => [job.jobId, { job, labels: [], runs: [], nodes: [], questions: [], events: [] }]),
  );
  const jobOf = new Map(runs.map(({ id, jobId }) => [id, jobId]));
  for (const label of labels) all.get(label.jobId)?.labels.push(label);
  for (const run of runs) all.get(run.jobId)?.runs.push(run);
  for (const node of nodes) all.get(jobOf.get(node.workflowRunId) ?? "")?.nodes.push(node);
  for (const question of questions) all.get(question.jobId)?.questions.push(question);
  for (const event of events) all.get(event.jobId)?.events.push(event);
  return all;
}

/**
 * Expects that a job has one event for each version, that the hashes form a chain, that each event's `previousState` is
 * the state of the one before, that what ends a run in a worker's name is its own worker's report (so that no stop is missed,
 * src/log/stop.ts), and that the last event agrees with the job.
 */
export function expectSound({ job, runs, events }: Records): void {
  const { workspaceId, traceId } = job;
  expect(events.map(({ version }) => version)).toEqual(Array.from({ length: job.version }, (_, index) => index + 1));
  for (const [index, event] of events.entries()) {
    const previous = events[index - 1];
    expect(event.hash).toBe(hashEvent(event));
    expect(event.prevHash).toBe(previous?.hash ?? CHAIN_START);
    expect(event.previousState).toBe(previous?.state ?? null);
    expect(event).toMatchObject({ workspaceId, traceId });
    expect(event.orderXid).toBeGreaterThanOrEqual(previous?.orderXid ?? 0n);
    if (event.actor === "AGENT" && event.previousState === "RUNNING" && event.state !== "RUNNING") {
      const { workerId, principalId } = runs.find(({ id }) => id === event.workflowRunId) ?? {};
      expect(event).toMatchObject({ actorId: workerId, principalId });
    }
  }
  const last = events.at(-1);
  expect(last).toMatchObject({ state: job.state, orderXid: job.orderXid, hash: job.chainHash, ...metricsOf(job) });
}

/**
 * Expects what section 5 says: all that was open is poisoned, all that had finished is unchanged, and there is one more
 * event.
 */
export function expectPoisoned(after: Records, before: Records): void {
  const { job } = after;
  expect(job).toEqual({
    ...before.job,
    state: "POISONED",
    jobOutputs: null,
    version: before.job.version + 1,
    // Changed by the poisoning; checked below.
    statusReason: job.statusReason,
    errorMessage: job.errorMessage,
    completedAt: job.completedAt,
    endedAt: job.completedAt,
    waitsFor: null,
    waitsUntil: null,
    progressFraction: null,
    progressMessage: null,
    progressAt: null,
    validatorsRunCount: job.validatorsRunCount,
    updatedAt: job.updatedAt,
    orderXid: job.orderXid,
    chainHash: job.chainHash,
  });
  expect(job.statusReason).toMatch(/^poisoned: [a-z_]+$/);
  expect(job.errorMessage).not.toBeNull();
  expect(job.completedAt).not.toBeNull();
  expect(after.labels).toEqual(before.labels);
  expect(after.questions).toEqual(before.questions);
  expect(after.runs).toEqual(before.runs.map((run, index) => poisonedRun(run, after.runs[index])));
  expect(after.nodes).toEqual(before.nodes.map((node, index) => poisonedNode(node, after.nodes[index])));
  for (const { finishedAt } of [...after.runs, ...after.nodes]) expect(finishedAt).not.toBeNull();
  expect(after.events.slice(0, -1)).toEqual(before.events);
  expect(after.events.at(-1)).toMatchObject({
    type: "SECURITY_VIOLATION",
    actor: "SYSTEM",
    state: "POISONED",
    previousState: before.job.state,
    payload: { action_taken: "poisoned" },
  });
  expectSound(after);
}

function poisonedRun(before: WorkflowRun, after: WorkflowRun | undefined): WorkflowRun {
  const isPoisoned = before.state === "STALLED" || before.finishedAt === null;
  if (!isPoisoned) return { ...before, outputs: null };
  return {
    ...before,
    state: "POISONED",
    leaseExpiresAt: null,
    nextProgressFraction: null,
    nextProgressMessage: null,
    nextProgressAt: null,
    errorMessage: after?.errorMessage ?? null,
    endReason: "poisoned",
    outputs: null,
    finishedAt: before.finishedAt ?? after?.finishedAt ?? null,
  };
}

function poisonedNode(before: NodeExecution, after: NodeExecution | undefined): NodeExecution {
  return before.finishedAt === null ? { ...before, state: "POISONED", finishedAt: after?.finishedAt ?? null } : before;
}

/** Expects that either everything was poisoned or nothing was changed. @returns which of the two. */
export function expectAllOrNothing(after: Records, before: Records): "poisoned" | "as before" {
  if (after.job.state === "POISONED") {
    expectPoisoned(after, before);
    return "poisoned";
  }
  expect(after).toEqual(before);
  return "as before";
}

export function violationsIn({ events }: Records) {
  return events.filter(({ type }) => type === "SECURITY_VIOLATION");
}

const saying = z.object({
  progress: z.object({ fraction: z.number().nullable(), message: z.string().nullable() }),
});

/** What events say of progress, in their order; an event without it, nothing. */
export function progressIn(events: Records["events"]): readonly Progress[] {
  return events.flatMap(({ payload }) => saying.safeParse(payload).data?.progress ?? []);
}
