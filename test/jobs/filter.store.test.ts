import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Prisma, type PrismaClient } from "../../src/db/generated/client/client.ts";
import { type BulkActionKind, JobKind, JobState } from "../../src/db/generated/client/enums.ts";
import { toRecordset } from "../../src/db/rows.ts";
import type { EngineContext } from "../../src/engine.ts";
import { InvalidInputError } from "../../src/errors.ts";
import { cancelAiJobs, retryAiJobs } from "../../src/jobs/bulk/action.ts";
import { type JobFilter, matcherOf } from "../../src/jobs/filter.ts";
import { countJobs, type JobOrder, listJobs, NEWEST_FIRST } from "../../src/jobs/list.ts";
import { canRetry, hasEnded, isTerminal, mayBecome } from "../../src/jobs/state.ts";
import { readStats } from "../../src/jobs/stats.ts";
import { LOG_START } from "../../src/log/cursor.ts";
import { CHAIN_START } from "../../src/log/hash.ts";
import { type LoggedEvent, readEventsBetween } from "../../src/log/read.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, SOMEBODY } from "../support/engine.ts";
import { tenfoldInLong } from "../support/long.ts";

/**
 * A filter means the same wherever it is asked: in a list, in its count, in the totals, to a subscription, and for a bulk action.
 * Jobs and filters are drawn from few values, so that they meet often, also at the edge of a bound.
 */

const RUNS = tenfoldInLong(100);
/** Jobs of a run at most: each has two events, and the log gives no more than a hundred in one read. */
const MAX_JOBS = 30;
const START = Date.UTC(2026, 0, 1);

let db: TestDatabase;
let prisma: PrismaClient;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
  engine = engineOn(db);
});
afterAll(() => db.close());

const KINDS = [JobKind.DOC_EDIT, JobKind.SHEET_TRANSFORM, JobKind.TERMINAL_EXEC];

const label = fc.record({ key: fc.constantFrom("team", "env"), value: fc.constantFrom("", "a", "b") });

const jobs = fc.array(
  fc.record({
    state: fc.constantFrom(...Object.values(JobState)),
    jobKind: fc.constantFrom(...KINDS),
    protocolId: fc.constantFrom("one", "two"),
    /** Number of the job that is its parent, which may be one that there is not. */
    parent: fc.option(fc.nat(1)),
    /** Milliseconds after the start. */
    created: fc.nat(3),
    /** Milliseconds from then to the last change. */
    unchanged: fc.nat(3),
    profile: fc.constantFrom("default", "terminal"),
    /** Number of the job whose id is its trace. */
    trace: fc.nat(2),
    worker: fc.option(fc.constantFrom("worker-1", "worker-2")),
    hasKey: fc.boolean(),
    labels: fc.uniqueArray(label, { selector: ({ key }) => key, maxLength: 2 }),
    submitter: fc.constantFrom("key:one", "operator"),
    cost: fc.nat(2),
  }),
  { maxLength: MAX_JOBS, size: "max" },
);
type DrawnJob = typeof jobs extends fc.Arbitrary<readonly (infer Job)[]> ? Job : never;

const moments = fc.integer({ min: -1, max: 4 });

/** A value, null as often, and nothing as often as both. */
const maybe = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { freq: 2 });
const conditions = {
  states: maybe(fc.array(fc.constantFrom(...Object.values(JobState)), { maxLength: 12, size: "max" })),
  kinds: maybe(fc.array(fc.constantFrom(...KINDS), { maxLength: 4, size: "max" })),
  protocolId: maybe(fc.constantFrom("one", "two", "nobody's")),
  parentJobId: maybe(fc.nat(2)),
  createdAfter: maybe(moments),
  createdBefore: maybe(moments),
  traceId: maybe(fc.nat(3)),
  workerId: maybe(fc.constantFrom("worker-1", "worker-2", "nobody")),
  capabilityProfileId: maybe(fc.constantFrom("default", "terminal", "none")),
  idempotencyKey: maybe(fc.constantFrom("key-0", "key-1", "key-none")),
  rootJobId: maybe(fc.nat(2)),
  rootsOnly: maybe(fc.boolean()),
  updatedAfter: maybe(moments),
  updatedBefore: maybe(moments),
  labels: maybe(fc.array(label, { maxLength: 3, size: "max" })),
  submittedBy: maybe(fc.constantFrom("key:one", "operator", "nobody")),
};
/** A new field of a filter does not compile until it is drawn, too. */
const allConditions = fc.record(conditions satisfies Record<keyof JobFilter, unknown>, { requiredKeys: [] });
/** At most three conditions: no job would match many. */
const filters = fc.tuple(allConditions, fc.shuffledSubarray(Object.keys(conditions), { maxLength: 3 })).map(picked);

function picked<Drawn extends object>([drawn, names]: readonly [Drawn, readonly string[]]): Partial<Drawn> {
  const some: Partial<Drawn> = { ...drawn };
  for (const name in some) if (!names.includes(name)) delete some[name];
  return some;
}
type DrawnFilter = typeof filters extends fc.Arbitrary<infer Filter> ? Filter : never;

/** What one run works with: its workspace and the ids of its jobs, which no other run has. */
class World {
  static #count = 0;
  readonly #prefix: string;
  readonly #costs = new Map<string, number>();

  constructor() {
    World.#count += 1;
    this.#prefix = World.#count.toString(16).padStart(8, "0");
  }

  get workspaceId(): string {
    return `${this.#prefix}-0000-7000-9000-000000000000`;
  }

  jobId(number: number): string {
    return `${this.#prefix}-0000-7000-8000-${number.toString(16).padStart(12, "0")}`;
  }

  filter(drawn: DrawnFilter): JobFilter {
    const { parentJobId, traceId, rootJobId, createdAfter, createdBefore, updatedAfter, updatedBefore, ...rest } =
      drawn;
    const idOf = (number: number) => this.jobId(number);
    return {
      ...rest,
      ...changed({ parentJobId, traceId, rootJobId }, idOf),
      ...changed({ createdAfter, createdBefore, updatedAfter, updatedBefore }, moment),
    };
  }

  /** Inserts the jobs by plain SQL, past the triggers: any state at once, and parents that have ended or are not there. */
  async insert(drawn: readonly DrawnJob[]): Promise<void> {
    const { workspaceId } = this;
    for (const [number, { cost }] of drawn.entries()) this.#costs.set(this.jobId(number), cost);
    const rows = drawn.map(({ state, jobKind, protocolId, parent, created, ...more }, number) => ({
      jobId: this.jobId(number),
      state,
      jobKind,
      protocolId,
      parentJobId: parent === null ? null : this.jobId(parent),
      createdAt: moment(created),
      updatedAt: moment(created + more.unchanged),
      completedAt: isTerminal(state) ? moment(created) : null,
      endedAt: hasEnded(state) ? moment(created) : null,
      waitsFor: state === "AWAITING_USER" ? ("USER_REVIEW" as const) : null,
      capabilityProfileId: more.profile,
      traceId: this.jobId(more.trace),
      idempotencyKey: more.hasKey ? `key-${number}` : null,
      submittedBy: more.submitter,
      labelCount: more.labels.length,
      costMicros: more.cost,
      // Of a job that has had a run, the run has the job's id.
      workflowRunId: more.worker === null ? null : this.jobId(number),
    }));
    const runs = drawn.flatMap(({ worker, created }, number) => {
      const run = { id: this.jobId(number), jobId: this.jobId(number), attempt: 1, state: JobState.COMPLETED };
      return worker === null
        ? []
        : [
            {
              ...run,
              workerId: worker,
              startedAt: moment(created),
              finishedAt: moment(created),
              endReason: "completed",
            },
          ];
    });
    const labels = drawn.flatMap((job, number) =>
      job.labels.map((each) => ({ jobId: this.jobId(number), createdAt: moment(job.created), ...each })),
    );
    await prisma.$transaction([
      prisma.$executeRaw`SET LOCAL session_replication_role = replica`,
      prisma.$executeRaw`INSERT INTO workspaces (workspace_id) VALUES (${workspaceId}::uuid)`,
      prisma.$executeRaw`
        INSERT INTO workflow_runs (id, workspace_id, job_id, attempt, state, worker_id, lease_token, started_at, finished_at, end_reason)
        SELECT id, ${workspaceId}::uuid, job_id, attempt, state, worker_id, sha256(''), started_at, finished_at, end_reason
        FROM json_populate_recordset(NULL::workflow_runs, ${toRecordset(runs)})`,
      prisma.$executeRaw`
        INSERT INTO job_labels (workspace_id, job_id, key, value, created_at)
        SELECT ${workspaceId}::uuid, job_id, key, value, created_at
        FROM json_populate_recordset(NULL::job_labels, ${toRecordset(labels)})`,
      prisma.$executeRaw`
        WITH job AS (
          INSERT INTO ai_jobs (job_id, workspace_id, trace_id, state, job_kind, protocol_id, parent_job_id, root_job_id,
            created_at, updated_at, completed_at, ended_at, waits_for, status_reason, profile_id, capability_profile_id, idempotency_key,
            workflow_run_id, submit_hash, submitted_by, label_count, cost_micros, version, order_xid, chain_hash)
          SELECT job_id, ${workspaceId}::uuid, trace_id, state, job_kind, protocol_id, parent_job_id, parent_job_id,
            created_at, updated_at, completed_at, ended_at, waits_for, 'test', 'default', capability_profile_id, idempotency_key,
            workflow_run_id, ${CHAIN_START}, submitted_by, label_count, cost_micros, 2, current_order_xid(), ${CHAIN_START}
          FROM json_populate_recordset(NULL::ai_jobs, ${toRecordset(rows)})
          RETURNING *
        )
        INSERT INTO flight_recorder_events (event_id, job_id, version, order_xid, workspace_id, trace_id, workflow_run_id,
          type, actor, actor_id, principal_id, state, previous_state, recorded_at, prev_hash, hash)
        SELECT job_id, job_id, event.version, order_xid, workspace_id, trace_id, workflow_run_id,
          (ARRAY['job_submitted', 'state_changed', 'node_changed']::"RecorderEventType"[])[1 + abs(hashtext(job_id::text) % 3)],
          'human', 'test', by, state, was, at, ${CHAIN_START}, ${CHAIN_START}
        FROM job, LATERAL (
          VALUES (1, submitted_by, NULL, created_at), (2, 'the worker', state, updated_at)) AS event (version, by, was, at)`,
    ]);
  }

  /** The jobs as the feed tells subscribers of their latest version. */
  async told(): Promise<readonly LoggedEvent[]> {
    const end = { ...LOG_START, orderXid: BigInt(Number.MAX_SAFE_INTEGER) };
    const told = await readEventsBetween(prisma, { workspaceId: this.workspaceId }, LOG_START, end);
    return told.filter(({ event }) => event.version > 1);
  }

  async list(filter: JobFilter, order: JobOrder = NEWEST_FIRST): Promise<readonly string[]> {
    const slice = { limit: MAX_JOBS + 1, fromEnd: false };
    return (await listJobs(prisma, this.workspaceId, filter, slice, ["jobId"], order)).map(({ jobId }) => jobId);
  }

  /** Compares two jobs as the list by cost has them. */
  readonly dearestFirst = (one: string, other: string): number =>
    (this.#costs.get(other) ?? 0) - (this.#costs.get(one) ?? 0) || (one < other ? 1 : -1);

  act(kind: BulkActionKind, filter: JobFilter) {
    const input = { filter, limit: MAX_JOBS + 1 };
    return kind === "RETRY"
      ? retryAiJobs(engine, this.workspaceId, SOMEBODY, input)
      : cancelAiJobs(engine, this.workspaceId, SOMEBODY, { ...input, reason: "test" });
  }

  /** The jobs that an action is about, in the order of its items. */
  async itemsOf(action: { readonly id: string }): Promise<readonly string[]> {
    const rows = await prisma.$queryRaw<{ jobId: string }[]>(Prisma.sql`
      SELECT job_id AS "jobId" FROM bulk_action_items WHERE bulk_action_id = ${action.id}::uuid ORDER BY position`);
    return rows.map(({ jobId }) => jobId);
  }
}

function moment(milliseconds: number): Date {
  return new Date(START + milliseconds);
}

/** The record with each value that there is changed. */
function changed<Name extends string, Value, Changed>(
  record: Record<Name, Value | null | undefined>,
  change: (value: Value) => Changed,
): Partial<Record<Name, Changed | null>> {
  const result: Partial<Record<Name, Changed | null>> = {};
  for (const name in record) {
    const value = record[name];
    if (value !== undefined) result[name] = value === null ? null : change(value);
  }
  return result;
}

/** The latest first, as the list is. */
function inOrderOf(timeOf: (told: LoggedEvent) => Date) {
  return (one: LoggedEvent, other: LoggedEvent): number =>
    Number(timeOf(other)) - Number(timeOf(one)) || (one.job.jobId < other.job.jobId ? 1 : -1);
}
/** The filter with bounds that the order by cost needs: outside of all jobs, where it has none. */
function withBounds(filter: JobFilter): JobFilter {
  const { createdAfter, createdBefore } = filter;
  return { ...filter, createdAfter: createdAfter ?? moment(-9), createdBefore: createdBefore ?? moment(9) };
}
const byAge = inOrderOf(({ job }) => job.createdAt);
const byUpdate = inOrderOf(({ after }) => after.updatedAt);

const CHANGEABLE = {
  CANCEL: Object.values(JobState).filter((state) => mayBecome(state, "CANCELLED")),
  RETRY: Object.values(JobState).filter(canRetry),
} as const satisfies Record<BulkActionKind, readonly JobState[]>;

const hasEmptyList = ({ states, kinds, labels }: JobFilter) =>
  [states, kinds, labels].some((list) => list?.length === 0);
const isGiven = (value: unknown) => value !== null && value !== undefined;

/** Compares all that only reads. Returns how many jobs match. */
async function expectSameRead(world: World, told: readonly LoggedEvent[], filter: JobFilter): Promise<number> {
  const matches = matcherOf(filter);
  const listed = await world.list(filter);
  const matching = told.filter(({ job, after }) => matches(job, after));
  expect(matching.map(({ job }) => job.jobId)).toEqual(listed);
  const byTime = await world.list(filter, { field: "UPDATED_AT", direction: "ASC" });
  expect(byTime.toReversed()).toEqual(matching.toSorted(byUpdate).map(({ job }) => job.jobId));
  const byCost = await world.list(withBounds(filter), { field: "COST", direction: "DESC" });
  expect(byCost).toEqual(listed.toSorted(world.dearestFirst));
  expect(await countJobs(prisma, world.workspaceId, filter)).toBe(listed.length);
  const stats = await readStats(prisma, world.workspaceId, filter);
  expect(stats.reduce((sum, { jobs: inThem }) => sum + Number(inThem), 0)).toBe(listed.length);
  expect(hasEmptyList(filter) ? listed : []).toEqual([]);
  return listed.length;
}

/** A bulk action is about the jobs that the list has, oldest first, or is refused; it changes the jobs. */
async function expectSameAction(world: World, kind: BulkActionKind, filter: JobFilter): Promise<void> {
  const before = await world.told();
  const listed = await world.list({ ...filter, states: filter.states ?? CHANGEABLE[kind] });
  const answer = await world.act(kind, filter);
  const outcome = answer instanceof InvalidInputError ? "REFUSED" : await world.itemsOf(ok(answer));
  const isRefused =
    hasEmptyList(filter) || !Object.entries(filter).some(([, value]) => isGiven(value) && value !== false);
  expect(outcome).toEqual(isRefused ? "REFUSED" : listed.toReversed());
  expect(isRefused ? await world.told() : before).toEqual(before);
}

test(
  "a filter means the same to a list, its count, the totals, a subscription and a bulk action",
  async () => {
    /** Of how many filters some jobs, but not all, matched: they alone tell a condition from one that always holds. */
    let telling = 0;
    /** The same for each condition by itself: of one that no drawn job can fail, nothing would be compared. */
    const tellingConditions = new Set<string>();
    const manyFilters = fc.array(filters, { minLength: 1, maxLength: 4 });
    const kinds = fc.constantFrom<BulkActionKind>("CANCEL", "RETRY");
    const property = fc.asyncProperty(jobs, manyFilters, filters, kinds, async (drawn, read, acted, kind) => {
      const world = new World();
      await world.insert(drawn);
      const told = (await world.told()).toSorted(byAge);
      expect(told).toHaveLength(drawn.length);
      for (const filter of read) {
        const matching = await expectSameRead(world, told, world.filter(filter));
        if (matching > 0 && matching < told.length) telling += 1;
        for (const [name, value] of Object.entries(world.filter(filter))) {
          const matches = matcherOf({ [name]: value });
          const matched = told.filter(({ job, after }) => matches(job, after)).length;
          if (matched > 0 && matched < told.length) tellingConditions.add(name);
        }
      }
      await expectSameAction(world, kind, world.filter(acted));
    });
    // What is drawn may leave a condition out, now and then: it is drawn again, and not for ever.
    const names = Object.keys(conditions);
    for (let round = 1; round <= 4 && tellingConditions.size < names.length; round++)
      await fc.assert(property, { numRuns: RUNS, plugins: [fc.unbiased()] });
    expect(telling).toBeGreaterThan(RUNS / 3);
    expect([...tellingConditions].toSorted()).toEqual(names.toSorted());
  },
  tenfoldInLong(120_000),
);
