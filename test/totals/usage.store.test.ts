import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { startWorkflow } from "../../src/claims/start.ts";
import type { UsageInterval } from "../../src/db/generated/client/client.ts";
import type { JobKind, JobState } from "../../src/db/generated/client/enums.ts";
import { toDbEnum } from "../../src/db/rows.ts";
import { within } from "../../src/db/scope.ts";
import type { EngineContext } from "../../src/engine.ts";
import { InvalidInputError } from "../../src/errors.ts";
import type { SubmitAiJob } from "../../src/jobs/draft.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { retryAiJob } from "../../src/jobs/retry.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { readJobTimes } from "../../src/jobs/times.ts";
import type { ModelCall } from "../../src/jobs/usage/model-usage.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { reportUsage } from "../../src/runs/report-usage.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { aggregateTotals, recountTotals } from "../../src/totals/aggregate.ts";
import { readUsage, type UsageRow } from "../../src/totals/usage.ts";
import { setUsageLabels } from "../../src/totals/usage-labels.ts";
import type { UsageGroup, UsageQuery } from "../../src/totals/usage-query.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, EVERYWHERE, engineOn, ok, SOMEBODY } from "../support/engine.ts";
import { FOUND } from "../support/jobs.ts";
import { aCompletion, aFailure, aHeartbeat, failWorkflow } from "../support/reports.ts";
import { aggregateAll } from "../support/totals.ts";

/** Usage by the hour and the day (section 14): what is aggregated, and what the aggregation has not come to. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const CALL: ModelCall = {
  provider: "openai",
  model: "gpt-5",
  inputTokens: 100,
  cachedInputTokens: 20,
  outputTokens: 7,
  reasoningTokens: 3,
  costMicros: 1500,
};
const LOCAL: ModelCall = { ...CALL, provider: "local", model: "llama", costMicros: 0 };
const deltaOf = (...usage: readonly ModelCall[]) => ({
  ...NO_METRICS,
  durationMs: 10,
  inputTokens: 120 * usage.length,
  outputTokens: 10 * usage.length,
  usage,
});

async function begun(workspaceId: string, more: Partial<SubmitAiJob> = {}): Promise<Claim> {
  const { job } = ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit(more)));
  return start(workspaceId, job.jobId);
}

async function start(workspaceId: string, jobId: string): Promise<Claim> {
  const claim = ok(await startWorkflow(engine, workspaceId, { jobId, workerId: "worker-1", leaseSeconds: 60 }));
  if (!("leaseToken" in claim)) throw new Error("The job was poisoned instead of started.");
  return claim;
}

const beat = async (claim: Claim, ...usage: readonly ModelCall[]) =>
  heartbeatWorkflows(engine, [aHeartbeat(claim, { metrics: deltaOf(...usage) })]);
async function complete(claim: Claim, ...usage: readonly ModelCall[]): Promise<void> {
  ok((await completeWorkflows(engine, [aCompletion(claim, { metrics: deltaOf(...usage) })]))[0]);
}
async function fail(claim: Claim, ...usage: readonly ModelCall[]): Promise<void> {
  ok(await failWorkflow(engine, aFailure(claim, { retryable: false, metrics: deltaOf(...usage) })));
}
async function later(claim: Claim, ...usage: readonly ModelCall[]): Promise<void> {
  const { run, leaseToken } = claim;
  ok(await reportUsage(engine, { workflowRunId: run.id, leaseToken, reportId: randomUUID(), usage }));
}

const DAY_MS = 86_400_000;
const today = () => Math.floor(Date.now() / DAY_MS) * DAY_MS;
/** Two days: a test may meet midnight. */
const around = () => ({ from: new Date(today() - DAY_MS), to: new Date(today() + 2 * DAY_MS) });

async function usage(workspaceId: string, more: Partial<UsageQuery> = {}): Promise<readonly UsageRow[]> {
  return ok(await readUsage(db.prisma, workspaceId, { ...around(), interval: "DAY", groupBy: [], ...more }));
}

/** What a row has, of the numbers that these tests look at; rows of two days together, where a test met midnight. */
async function summary(workspaceId: string, groupBy: readonly UsageGroup[], more: Partial<UsageQuery> = {}) {
  const sums = new Map<string, { jobs: number; tokens: number; cost: number }>();
  for (const row of await usage(workspaceId, { groupBy, ...more })) {
    const names = [row.jobKind, row.state, row.model, row.label, row.protocolId].filter((name) => name !== null);
    const name = names.join(" ");
    const { jobs, tokens, cost } = sums.get(name) ?? { jobs: 0, tokens: 0, cost: 0 };
    const counted = { tokens: tokens + Number(row.metrics.totalTokens), cost: cost + Number(row.costMicros) };
    sums.set(name, { jobs: jobs + Number(row.jobs), ...counted });
  }
  return Object.fromEntries(sums);
}

const GROUPS: readonly UsageGroup[] = ["KIND", "STATE", "MODEL", "LABEL", "PROTOCOL"];
/** Every read that there can be of a workspace, by every choice of groups. */
async function everything(workspaceId: string, labelKey: string): Promise<readonly (readonly UsageRow[])[]> {
  const choices = [[], ...GROUPS.flatMap((one) => GROUPS.map((other) => (one === other ? [one] : [one, other])))];
  const answers = [];
  for (const groupBy of choices) {
    const label = groupBy.includes("LABEL") ? { labelKey } : {};
    const hour = Math.floor(Date.now() / 3_600_000) * 3_600_000;
    const hours = { from: new Date(hour - 6 * 3_600_000), to: new Date(hour + 3_600_000) };
    answers.push(await usage(workspaceId, { groupBy, ...label }));
    answers.push(await usage(workspaceId, { ...hours, interval: "HOUR", groupBy, ...label }));
  }
  return answers;
}

/** Jobs of all sorts: completed with two models, retried, cancelled by nobody, with late usage, poisoned, with labels. */
async function someLife(workspaceId: string): Promise<void> {
  const labels = [{ key: "team", value: "search" }];
  await complete(await begun(workspaceId, { labels }), CALL, LOCAL);
  const failing = await begun(workspaceId, { jobKind: "DOC_EDIT", protocolId: "edit", labels });
  await beat(failing, CALL);
  await fail(failing, CALL);
  ok(await retryAiJob(engine, workspaceId, SOMEBODY, failing.job.jobId));
  const again = await start(workspaceId, failing.job.jobId);
  await complete(again, LOCAL);
  await later(again, CALL);
  const poisoned = await begun(workspaceId, { labels: [{ key: "team", value: "ads" }] });
  await beat(poisoned, CALL);
  await poisonJob(engine, workspaceId, poisoned.job.jobId, FOUND);
  await later(poisoned, CALL, LOCAL);
  await begun(workspaceId);
}

/** A row as text, with the entries of its histograms added up. */
function text({ queueBuckets, queueJobs, runBuckets, runJobs, ...row }: UsageInterval): string {
  const times = [filled(queueBuckets, queueJobs), filled(runBuckets, runJobs)];
  return JSON.stringify([row, times], (_, value: unknown) => (typeof value === "bigint" ? Number(value) : value));
}

function filled(buckets: readonly number[], jobs: readonly bigint[]) {
  const sums = new Map<number, number>();
  for (const [index, bucket] of buckets.entries()) sums.set(bucket, (sums.get(bucket) ?? 0) + Number(jobs[index]));
  return [...sums].toSorted(([one], [other]) => one - other);
}

/** One batch of so many events and entries. */
async function aggregateOnce(events: number): Promise<void> {
  const stopping = new AbortController();
  const aggregated = aggregateTotals(db.prisma, events, stopping.signal);
  stopping.abort();
  await aggregated;
}

/** Each read has all choices of groups twice, by the hour and by the day. */
const LONG = { timeout: 120_000 };

test("a read is the same, however much of it is aggregated", LONG, async () => {
  const workspaceId = randomUUID();
  ok(await setUsageLabels(engine, workspaceId, ["team"]));
  await someLife(workspaceId);
  const before = await everything(workspaceId, "team");
  expect(before.every((rows) => rows.length > 0)).toBe(true);
  for (const events of [1, 6, 9]) {
    await aggregateOnce(events);
    expect(await everything(workspaceId, "team")).toEqual(before);
  }
  await aggregateAll(db.prisma);
  expect(await everything(workspaceId, "team")).toEqual(before);
  await within(EVERYWHERE, () => db.prisma.$transaction((tx) => recountTotals(tx), { timeout: 120_000 }));
  expect(await everything(workspaceId, "team")).toEqual(before);
});

test("what is aggregated in many steps is the same as in one", async () => {
  const workspaceId = randomUUID();
  ok(await setUsageLabels(engine, workspaceId, ["team"]));
  await someLife(workspaceId);
  await aggregateTotals(db.prisma, 1);
  await aggregateAll(db.prisma);
  const rows = async () => (await db.prisma.usageInterval.findMany({ where: { workspaceId } })).map(text).toSorted();
  const before = await rows();
  expect(before.length).toBeGreaterThan(10);
  await within(EVERYWHERE, () => db.prisma.$transaction((tx) => recountTotals(tx), { timeout: 120_000 }));
  expect(await rows()).toEqual(before);
});

describe.each([
  ["not aggregated", async () => undefined],
  ["aggregated", () => aggregateAll(db.prisma)],
])("%s", (_, aggregate) => {
  test("a job that was retried ends twice, each time with what it used since it was submitted or retried", async () => {
    const workspaceId = randomUUID();
    const claim = await begun(workspaceId);
    await beat(claim, CALL);
    await fail(claim, CALL);
    await aggregate();
    ok(await retryAiJob(engine, workspaceId, SOMEBODY, claim.job.jobId));
    await complete(await start(workspaceId, claim.job.jobId), LOCAL);
    await aggregate();
    expect(await summary(workspaceId, ["STATE"])).toEqual({
      FAILED: { jobs: 1, tokens: 260, cost: 3000 },
      COMPLETED: { jobs: 1, tokens: 130, cost: 0 },
    });
    expect(await summary(workspaceId, ["STATE", "MODEL"])).toEqual({
      "FAILED gpt-5": { jobs: 1, tokens: 260, cost: 3000 },
      "COMPLETED llama": { jobs: 1, tokens: 130, cost: 0 },
    });
    expect(await summary(workspaceId, [])).toEqual({ "": { jobs: 2, tokens: 390, cost: 3000 } });
  });

  test("what an ended job reports late counts for its state, and is no other end", async () => {
    const workspaceId = randomUUID();
    const claim = await begun(workspaceId);
    await complete(claim, CALL);
    await later(claim, LOCAL);
    await aggregate();
    await later(claim, LOCAL);
    await aggregate();
    expect(await summary(workspaceId, ["STATE"])).toEqual({ COMPLETED: { jobs: 1, tokens: 390, cost: 1500 } });
    // It had not called the other model when it ended.
    expect(await summary(workspaceId, ["MODEL"])).toEqual({
      "gpt-5": { jobs: 1, tokens: 130, cost: 1500 },
      llama: { jobs: 0, tokens: 260, cost: 0 },
    });
  });

  test("what is reported after a job was poisoned counts beside its metrics", async () => {
    const workspaceId = randomUUID();
    const claim = await begun(workspaceId);
    await beat(claim, CALL);
    await poisonJob(engine, workspaceId, claim.job.jobId, FOUND);
    await later(claim, CALL, LOCAL);
    await aggregate();
    expect(await summary(workspaceId, ["STATE"])).toEqual({ POISONED: { jobs: 1, tokens: 390, cost: 3000 } });
    expect(await summary(workspaceId, [])).toEqual({ "": { jobs: 1, tokens: 390, cost: 3000 } });
    expect(await summary(workspaceId, ["MODEL"])).toEqual({
      "gpt-5": { jobs: 1, tokens: 260, cost: 3000 },
      llama: { jobs: 0, tokens: 130, cost: 0 },
    });
  });

  test("what runs on is used already, and has not ended", async () => {
    const workspaceId = randomUUID();
    await beat(await begun(workspaceId), CALL);
    await aggregate();
    expect(await summary(workspaceId, ["KIND"])).toEqual({ DOC_SUMMARIZE: { jobs: 0, tokens: 130, cost: 1500 } });
    expect(await summary(workspaceId, ["STATE"])).toEqual({});
  });

  test("a label counts from when it was declared; again declared, anew; and on, where it stays", async () => {
    const workspaceId = randomUUID();
    const labels = [
      { key: "team", value: "search" },
      { key: "env", value: "" },
    ];
    const one = await begun(workspaceId, { labels });
    await beat(one, CALL);
    ok(await setUsageLabels(engine, workspaceId, ["team"]));
    await beat(one, LOCAL);
    await aggregate();
    const byTeam = () => summary(workspaceId, ["LABEL"], { labelKey: "team" });
    expect(await byTeam()).toEqual({ search: { jobs: 0, tokens: 130, cost: 0 } });
    ok(await setUsageLabels(engine, workspaceId, ["env", "team"]));
    // It ended since, and so with all that it used.
    await complete(one);
    await aggregate();
    expect(await byTeam()).toEqual({ search: { jobs: 1, tokens: 130, cost: 0 } });
    expect(await summary(workspaceId, ["STATE", "LABEL"], { labelKey: "env" })).toEqual({
      "COMPLETED ": { jobs: 1, tokens: 260, cost: 1500 },
    });
    ok(await setUsageLabels(engine, workspaceId, ["env"]));
    expect(
      await readUsage(db.prisma, workspaceId, { ...around(), interval: "DAY", groupBy: ["LABEL"], labelKey: "team" }),
    ).toBeInstanceOf(InvalidInputError);
    ok(await setUsageLabels(engine, workspaceId, ["env", "team"]));
    await complete(await begun(workspaceId, { labels: [{ key: "team", value: "ads" }] }), CALL);
    await aggregate();
    expect(await byTeam()).toEqual({ ads: { jobs: 1, tokens: 130, cost: 1500 } });
    // Another workspace has not declared it.
    const elsewhere = { ...around(), interval: "DAY", groupBy: ["LABEL"], labelKey: "team" } as const;
    expect(await readUsage(db.prisma, randomUUID(), elsewhere)).toBeInstanceOf(InvalidInputError);
  });

  test("only the jobs of the kinds and the protocol that are asked for count, and none of another workspace", async () => {
    const workspaceId = randomUUID();
    await complete(await begun(workspaceId, { jobKind: "DOC_EDIT", protocolId: "a" }), CALL);
    await complete(await begun(workspaceId, { protocolId: "b" }), CALL);
    await complete(await begun(randomUUID(), { protocolId: "b" }), CALL);
    await aggregate();
    const counted = { jobs: 1, tokens: 130, cost: 1500 };
    expect(await summary(workspaceId, ["PROTOCOL"])).toEqual({ a: counted, b: counted });
    expect(await summary(workspaceId, ["KIND"], { protocolId: "a" })).toEqual({ DOC_EDIT: counted });
    expect(await summary(workspaceId, ["PROTOCOL"], { kinds: ["DOC_SUMMARIZE"] })).toEqual({ b: counted });
    expect(await summary(workspaceId, [], { kinds: [] })).toEqual({});
  });

  test("each interval begins and ends in UTC: what happens at its start is in it, and at its end is not", async () => {
    const workspaceId = randomUUID();
    const day = Date.parse("2026-03-29T00:00:00Z");
    const at = (ms: number) => new Date(day + ms);
    await addEnded(workspaceId, [at(-2), at(-1), at(-1)], "COMPLETED");
    await addEnded(workspaceId, [at(-2), at(-1), at(0)], "COMPLETED");
    await addEnded(workspaceId, [at(0), at(1), at(3_599_999)], "FAILED");
    await addEnded(workspaceId, [at(0), at(1), at(3_600_000)], "FAILED");
    await aggregate();
    const read = async (interval: "HOUR" | "DAY", from: number, to: number) =>
      (await usage(workspaceId, { interval, from: at(from), to: at(to) })).map((row) => [
        row.from.getTime() - day,
        Number(row.jobs),
        Number(row.metrics.totalTokens),
      ]);
    const hour = 3_600_000;
    expect(await read("DAY", -DAY_MS, DAY_MS)).toEqual([
      [-DAY_MS, 1, 10],
      [0, 3, 30],
    ]);
    expect(await read("DAY", 0, DAY_MS)).toEqual([[0, 3, 30]]);
    expect(await read("HOUR", -hour, 2 * hour)).toEqual([
      [-hour, 1, 10],
      [0, 2, 20],
      [hour, 1, 10],
    ]);
    expect(await read("HOUR", 0, hour)).toEqual([[0, 2, 20]]);
  });

  test("percentiles are within 5 % of the times of the jobs, over rows and buckets", async () => {
    const workspaceId = randomUUID();
    const begin = Date.parse("2026-04-01T10:00:00Z");
    const jobIds = [];
    for (let n = 0; n < 60; n++) {
      // From a millisecond to minutes; of two kinds, so that two rows are added up.
      const [queued, ran] = [Math.round(1.13 ** n), Math.round(3 * 1.21 ** n)];
      const times = [begin, begin + queued, begin + queued + ran].map((time) => new Date(time));
      jobIds.push(await addEnded(workspaceId, times, "COMPLETED", n % 2 === 0 ? "DOC_EDIT" : "ASR_TRANSCRIBE"));
      if (n === 30) await aggregate();
    }
    await aggregate();
    const rows = await usage(workspaceId, {
      from: new Date("2026-04-01T00:00:00Z"),
      to: new Date("2026-04-08T00:00:00Z"),
    });
    expect(rows).toHaveLength(1);
    const scoped = jobIds.map((id) => ({ workspaceId, id }));
    const times = await within([workspaceId], () => readJobTimes(db.prisma, scoped));
    const rank = (name: "queuedMs" | "runMs", percent: number) => {
      const sorted = times.map((each) => Number(each[name])).toSorted((a, b) => a - b);
      return sorted[Math.ceil((sorted.length * percent) / 100) - 1] ?? Number.NaN;
    };
    const [row] = rows;
    for (const [actual, exact] of [
      [row?.queueMsP50, rank("queuedMs", 50)],
      [row?.queueMsP95, rank("queuedMs", 95)],
      [row?.runMsP50, rank("runMs", 50)],
      [row?.runMsP95, rank("runMs", 95)],
    ] as const) {
      expect(actual).toBeGreaterThanOrEqual(exact * 0.95);
      expect(actual).toBeLessThanOrEqual(exact * 1.05);
    }
  });

  test("there are no times of jobs that never waited or ran", async () => {
    const workspaceId = randomUUID();
    const at = new Date("2026-05-01T00:00:00Z");
    const asked = { from: at, to: new Date("2026-05-02T00:00:00Z") };
    await addEnded(workspaceId, [at], "FAILED");
    await aggregate();
    const none = { queueMsP50: null, queueMsP95: null, runMsP50: null, runMsP95: null };
    expect(await usage(workspaceId, asked)).toMatchObject([{ jobs: 1n, ...none }]);
    await addEnded(workspaceId, [at, new Date(at.getTime() + 40)], "CANCELLED");
    await aggregate();
    expect(await usage(workspaceId, asked)).toMatchObject([{ jobs: 2n, ...none, queueMsP50: 40, queueMsP95: 40 }]);
  });

  test("sums beyond 2^53 - 1 are given as 2^53 - 1", async () => {
    const workspaceId = randomUUID();
    const max = Number.MAX_SAFE_INTEGER;
    for (let n = 0; n < 2; n++) {
      await complete(await begun(workspaceId), { ...CALL, costMicros: max });
    }
    await aggregate();
    expect(await summary(workspaceId, ["MODEL"])).toEqual({ "gpt-5": { jobs: 2, tokens: 260, cost: max } });
  });
});

/**
 * Adds a job that ended, by plain SQL past every trigger, with events at these times: submitted, started and ended; without the
 * second, it ended as it waited, and without the third as it was submitted. It used 10 tokens at its end.
 */
async function addEnded(
  workspaceId: string,
  at: readonly Date[],
  ended: JobState,
  kind: JobKind = "DOC_EDIT",
): Promise<string> {
  const jobId = randomUUID();
  const states: readonly JobState[] = [...(["QUEUED", "RUNNING"] as const).slice(0, at.length - 1), ended];
  await within(EVERYWHERE, () =>
    db.prisma.$transaction(async (tx) => {
      await tx.$executeRaw`SET LOCAL session_replication_role = replica`;
      await tx.$executeRaw`INSERT INTO workspaces (workspace_id) VALUES (${workspaceId}::uuid) ON CONFLICT DO NOTHING`;
      await tx.$executeRawUnsafe(
        `INSERT INTO ai_jobs (job_id, workspace_id, trace_id, job_kind, state, status_reason, protocol_id, profile_id,
           capability_profile_id, submit_hash, submitted_by, order_xid, chain_hash, version, ended_at, completed_at)
         VALUES ('${jobId}', '${workspaceId}', '${jobId}', '${toDbEnum(kind)}', '${toDbEnum(ended)}', 'ended', 'test',
           'default', 'default', repeat('a', 64), 'test', current_order_xid(), repeat('b', 64), ${states.length}, now(),
           ${ended === "FAILED" ? "NULL" : "now()"})`,
      );
      for (const [index, state] of states.entries()) {
        const previous = states[index - 1];
        const tokens = index === states.length - 1 ? 10 : 0;
        await tx.$executeRawUnsafe(
          `INSERT INTO flight_recorder_events (event_id, job_id, version, order_xid, workspace_id, trace_id, type, actor, actor_id,
             state, previous_state, total_tokens, recorded_at, prev_hash, hash)
           VALUES (gen_random_uuid(), '${jobId}', ${index + 1}, current_order_xid(), '${workspaceId}', '${jobId}',
             '${index === 0 ? "job_submitted" : "state_changed"}', 'human', 'test', '${toDbEnum(state)}',
             ${previous ? `'${toDbEnum(previous)}'` : "NULL"}, ${tokens}, '${at[index]?.toISOString()}', repeat('0', 64), repeat('b', 64))`,
        );
      }
    }),
  );
  return jobId;
}
