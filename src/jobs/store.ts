import { uuidv7 } from "uuidv7";
import { type AiJob, type FlightRecorderEvent, Prisma } from "../db/generated/client/client.ts";
import { estimateFewRows, FORCED_GENERIC_PLAN } from "../db/prepared.ts";
import {
  type DocumentField,
  EVENT_COLUMNS,
  JOB_COLUMNS,
  type JobMetrics,
  type MetricName,
  recordset,
  toDbEnum,
} from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { CHAIN_START, type EventDraft, hashEvent } from "../log/event.ts";
import { redactObject } from "../log/redact.ts";
import type { LockedJob, LockedJobSummary } from "./lock.ts";

/**
 * The one door for writes to jobs and events: every change of a job raises its version by exactly one and has exactly
 * one event, written by the same statement (section 4). The database refuses at commit what comes any other way.
 */

/** What a change may set. Everything else of a job is as it was submitted, for good. */
export type JobPatch = Partial<
  Pick<
    AiJob,
    | MetricName
    | "workflowRunId"
    | "state"
    | "statusReason"
    | "errorMessage"
    | "jobOutputs"
    | "issues"
    | "runAfter"
    | "attempt"
    | "revisions"
    | "preferredWorkerId"
    | "preferredUntil"
    | "completedAt"
  >
>;

/** One version of one job: what it sets, and the event that tells of it. */
export interface JobChange<Job extends LockedJobSummary = LockedJob> {
  readonly job: Job;
  readonly set: JobPatch;
  readonly event: EventDraft;
}

export interface WrittenVersion<Job extends LockedJobSummary = LockedJob> {
  readonly job: Job;
  readonly event: FlightRecorderEvent;
}

/** A write beside those of jobs and events: a data-modifying CTE, `name AS (...)`, for the one statement of `record`. */
export type ExtraCte = Prisma.Sql;

/**
 * Writes one new version of each job, with its event, in one statement however many they are.
 * A job that needs two versions is passed again, as it came out of the first call.
 * @param also what is written by the same statement: each round trip saved is one that nobody else waits for.
 * @returns in the order of `changes`, each job as it now stands, still locked.
 */
export async function writeVersions<Job extends LockedJobSummary>(
  tx: Transaction,
  changes: readonly JobChange<Job>[],
  also: readonly ExtraCte[] = [],
): Promise<readonly WrittenVersion<Job>[]> {
  if (changes.length === 0 && also.length === 0) return [];
  const recorded = changes.map((change) => nextVersion(change));
  const rows = recorded.map((one, index) => toVersionRow(one, changes[index]));
  const change = Prisma.sql`json_to_recordset(${recordset(rows)}) AS t(
        job_id uuid, workflow_run_id uuid, state "JobState", status_reason text, error_message text, job_outputs jsonb,
        keeps_outputs boolean, issues text[], run_after timestamptz, attempt int, revisions int, preferred_worker_id text,
        preferred_until timestamptz, version int, order_xid bigint, chain_hash text,
        duration_ms bigint, total_tokens bigint, input_tokens bigint, output_tokens bigint, tokens_planner bigint,
        tokens_executor bigint, entities_read bigint, entities_written bigint, validators_run_count bigint,
        updated_at timestamptz, completed_at timestamptz,
        event_id uuid, event_run_id uuid, type "RecorderEventType", actor "RecorderActor", actor_id text,
        previous_state "JobState", capability_id text, payload jsonb, prev_hash text)`;
  const count = await tx.$executeRaw`
    ${FORCED_GENERIC_PLAN} WITH ${also.length === 0 ? Prisma.empty : Prisma.sql`${Prisma.join(also)},`}
    changed AS (
      UPDATE ai_jobs j SET
        workflow_run_id = n.workflow_run_id, state = n.state, status_reason = n.status_reason,
        error_message = n.error_message, issues = n.issues, run_after = n.run_after, attempt = n.attempt,
        job_outputs = CASE WHEN n.keeps_outputs THEN j.job_outputs ELSE n.job_outputs END,
        revisions = n.revisions, preferred_worker_id = n.preferred_worker_id,
        preferred_until = n.preferred_until, version = n.version, order_xid = n.order_xid, chain_hash = n.chain_hash,
        duration_ms = coalesce(n.duration_ms, j.duration_ms), total_tokens = coalesce(n.total_tokens, j.total_tokens),
        input_tokens = coalesce(n.input_tokens, j.input_tokens),
        output_tokens = coalesce(n.output_tokens, j.output_tokens),
        tokens_planner = coalesce(n.tokens_planner, j.tokens_planner),
        tokens_executor = coalesce(n.tokens_executor, j.tokens_executor),
        entities_read = coalesce(n.entities_read, j.entities_read),
        entities_written = coalesce(n.entities_written, j.entities_written),
        validators_run_count = coalesce(n.validators_run_count, j.validators_run_count),
        updated_at = n.updated_at, completed_at = n.completed_at
      FROM ${estimateFewRows(change, rows.length)} AS n WHERE j.job_id = n.job_id AND j.version = n.version - 1
      RETURNING j.*, n.event_id, n.event_run_id, n.type, n.actor, n.actor_id, n.previous_state, n.capability_id,
        n.payload, n.prev_hash
    )
    INSERT INTO flight_recorder_events (
      event_id, job_id, version, order_xid, workspace_id, trace_id, workflow_run_id, type, actor, actor_id, state,
      previous_state, duration_ms, total_tokens, input_tokens, output_tokens, tokens_planner, tokens_executor,
      entities_read, entities_written, validators_run_count, capability_id, payload, recorded_at, prev_hash, hash)
    SELECT
      event_id, job_id, version, order_xid, workspace_id, trace_id, event_run_id, type, actor, actor_id, state,
      previous_state, duration_ms, total_tokens, input_tokens, output_tokens, tokens_planner, tokens_executor,
      entities_read, entities_written, validators_run_count, capability_id, payload, updated_at, prev_hash, chain_hash
    FROM changed`;
  if (count !== changes.length) throw new Error("A job was changed without its lock: the version moved on.");
  return recorded;
}

/**
 * What the statement needs of one version, by the names of its columns: of the job what a change can set, metrics only
 * where they changed, and of the event what the job's row does not say. Outputs that are not set stay as they are.
 *
 * Each version of a job is such a row: hence no `toRecord`, which finds out of any row what it holds, and no NULLs.
 */
function toVersionRow({ job, event }: WrittenVersion<LockedJobSummary>, change?: JobChange<LockedJobSummary>): object {
  const { job: before, set } = change ?? {};
  return {
    job_id: job.jobId,
    workflow_run_id: job.workflowRunId ?? undefined,
    state: toDbEnum(job.state),
    status_reason: job.statusReason,
    error_message: job.errorMessage ?? undefined,
    job_outputs: set?.jobOutputs ?? undefined,
    keeps_outputs: set?.jobOutputs === undefined ? true : undefined,
    issues: job.issues,
    run_after: job.runAfter ?? undefined,
    attempt: job.attempt,
    revisions: job.revisions,
    preferred_worker_id: job.preferredWorkerId ?? undefined,
    preferred_until: job.preferredUntil ?? undefined,
    version: job.version,
    order_xid: job.orderXid.toString(),
    chain_hash: job.chainHash,
    duration_ms: changed("durationMs", job, before),
    total_tokens: changed("totalTokens", job, before),
    input_tokens: changed("inputTokens", job, before),
    output_tokens: changed("outputTokens", job, before),
    tokens_planner: changed("tokensPlanner", job, before),
    tokens_executor: changed("tokensExecutor", job, before),
    entities_read: changed("entitiesRead", job, before),
    entities_written: changed("entitiesWritten", job, before),
    validators_run_count: changed("validatorsRunCount", job, before),
    updated_at: job.updatedAt,
    completed_at: job.completedAt ?? undefined,
    event_id: event.eventId,
    event_run_id: event.workflowRunId ?? undefined,
    type: toDbEnum(event.type),
    actor: toDbEnum(event.actor),
    actor_id: event.actorId,
    previous_state: event.previousState ? toDbEnum(event.previousState) : undefined,
    capability_id: event.capabilityId ?? undefined,
    payload: event.payload,
    prev_hash: event.prevHash,
  };
}

function changed(name: MetricName, after: JobMetrics, before: JobMetrics | undefined): string | undefined {
  return after[name] === before?.[name] ? undefined : after[name].toString();
}

/** Writes one new version of one job. */
export async function writeVersion<Job extends LockedJobSummary>(
  tx: Transaction,
  change: JobChange<Job>,
  also: readonly ExtraCte[] = [],
): Promise<WrittenVersion<Job>> {
  const [recorded] = await writeVersions(tx, [change], also);
  if (!recorded) throw new Error("One change makes one record.");
  return recorded;
}

/** A new job, but for what only the database knows: its place in the log, its time, and so its hash. */
export type NewJob = Omit<AiJob, "orderXid" | "chainHash" | "createdAt" | "updatedAt">;

function nextVersion<Job extends LockedJobSummary>({ job, set, event: draft }: JobChange<Job>): WrittenVersion<Job> {
  // The clock of a server can step back; a job's history does not.
  const updatedAt = job.now < job.updatedAt ? job.updatedAt : job.now;
  const { jobOutputs, ...columns } = set;
  const after = { ...job, ...columns, version: job.version + 1, orderXid: job.nextOrderXid, updatedAt };
  const event = toEvent(after, job, draft, { orderXid: after.orderXid, recordedAt: updatedAt });
  event.hash = hashEvent(event);
  after.chainHash = event.hash;
  return { job: jobOutputs === undefined ? after : { ...after, jobOutputs }, event };
}

/**
 * The event of a version of a job, without its hash.
 *
 * Written out: an object that others are spread into, or that fields are added to, is many times as slow to make, and each
 * version of a job has an event.
 */
export function toEvent(
  after: Omit<NewJob, DocumentField>,
  before: LockedJobSummary | undefined,
  draft: EventDraft,
  place: Pick<FlightRecorderEvent, "orderXid" | "recordedAt">,
): FlightRecorderEvent {
  return {
    eventId: uuidv7(),
    jobId: after.jobId,
    version: after.version,
    orderXid: place.orderXid,
    workspaceId: after.workspaceId,
    traceId: after.traceId,
    workflowRunId: draft.workflowRunId === undefined ? after.workflowRunId : draft.workflowRunId,
    type: draft.type,
    actor: draft.by.actor,
    actorId: draft.by.actorId,
    state: after.state,
    previousState: before?.state ?? null,
    durationMs: after.durationMs,
    totalTokens: after.totalTokens,
    inputTokens: after.inputTokens,
    outputTokens: after.outputTokens,
    tokensPlanner: after.tokensPlanner,
    tokensExecutor: after.tokensExecutor,
    entitiesRead: after.entitiesRead,
    entitiesWritten: after.entitiesWritten,
    validatorsRunCount: after.validatorsRunCount,
    capabilityId: draft.capabilityId ?? null,
    payload: redactObject(draft.payload),
    recordedAt: place.recordedAt,
    prevHash: before?.chainHash ?? CHAIN_START,
    hash: "",
  };
}

/** The event of one version of a job; undefined where the log does not hold it. */
export async function readEvent(
  tx: Transaction,
  jobId: string,
  version: number,
): Promise<FlightRecorderEvent | undefined> {
  const [event] = await tx.$queryRaw<FlightRecorderEvent[]>`
    SELECT ${EVENT_COLUMNS} FROM flight_recorder_events WHERE job_id = ${jobId}::uuid AND version = ${version}`;
  return event;
}

/** A job as it is now, without a lock. */
export async function readJob(tx: Transaction, jobId: string): Promise<AiJob | undefined> {
  const [job] = await tx.$queryRaw<AiJob[]>`SELECT ${JOB_COLUMNS} FROM ai_jobs WHERE job_id = ${jobId}::uuid`;
  return job;
}
