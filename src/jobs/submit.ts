import { createHash } from "node:crypto";
import { canonicalize } from "json-canonicalize";
import { uuidv7 } from "uuidv7";
import { checkCapability, defaultProfileOf } from "../capabilities/registry.ts";
import { type AppError, CapabilityDeniedError, IdempotencyConflictError, UnknownCapabilityError } from "../errors.ts";
import { lockJob, type NewJob, recordOne, recordSubmitted, type Transaction } from "../recorder/commit.ts";
import { type Actor, denial, type EventDraft } from "../recorder/event.ts";
import { inOneStatement, inTransaction, type Recorder, reading } from "../recorder/transaction.ts";
import { type JsonValue, word } from "../storage/columns.ts";
import type { AiJob } from "../storage/generated/client/client.ts";
import type { AccessMode, JobKind, ModelTier, OperationType, SafetyMode } from "../storage/generated/client/enums.ts";
import type { EntityRef } from "./access-mode.ts";
import { become } from "./state.ts";

export interface PlannedOperation {
  readonly opType: OperationType;
  readonly target: EntityRef;
  readonly description?: string | null | undefined;
}

export interface SubmitAiJob {
  readonly jobKind: JobKind;
  readonly protocolId: string;
  readonly profileId: string;
  /** The profile that the client asks for; the kind's own where it asks for none. */
  readonly capabilityProfileId: string | null;
  readonly accessMode: AccessMode;
  readonly safetyMode: SafetyMode;
  readonly modelTier: ModelTier;
  readonly entityRefs: readonly EntityRef[];
  readonly plannedOperations: readonly PlannedOperation[];
  readonly jobInputs: JsonValue;
  readonly priority: number;
  readonly runAfter: Date | null;
  readonly maxAttempts: number;
  /** Tokens that it may cost; a report that goes beyond them fails it. */
  readonly tokenBudget: number | null;
  readonly idempotencyKey: string | null;
}

export interface Submitted {
  readonly job: AiJob;
  /** An earlier submit with this key made the job. */
  readonly deduplicated: boolean;
}

/**
 * Stores a job as queued; or as failed, where its capability profile does not suffice, so that the denial is on record
 * (section 6). The same idempotency key with the same input gives the job that it made.
 */
export async function submitAiJob(
  recorder: Recorder,
  workspaceId: string,
  by: Actor,
  input: SubmitAiJob,
): Promise<Submitted | AppError> {
  const profileId = input.capabilityProfileId ?? defaultProfileOf(input.jobKind);
  const capabilities = await capabilitiesOf(recorder, profileId);
  if (!capabilities) return new UnknownCapabilityError(profileId);
  const { granted, capability } = checkCapability(input.jobKind, capabilities);
  const draft = draftOf(workspaceId, profileId, input);
  const event: EventDraft = {
    type: "JOB_SUBMITTED",
    by,
    ...(granted ? { capabilityId: capability } : {}),
    payload: { job_kind: word(input.jobKind), protocol_id: input.protocolId, capability_profile_id: profileId },
  };
  return granted
    ? inOneStatement(recorder, (db) => submit(db, draft, event))
    : inTransaction(recorder, (tx) => submitDenied(tx, draft, event, capability));
}

/** What a profile grants; undefined where there is none. Every submit asks, and this costs half of a `findUnique`. */
async function capabilitiesOf({ prisma }: Recorder, profileId: string): Promise<readonly string[] | undefined> {
  const [profile] = await reading(
    () => prisma.$queryRaw<{ capabilities: string[] }[]>`
      SELECT capabilities FROM capability_profiles WHERE id = ${profileId}`,
  );
  return profile?.capabilities;
}

async function submit(db: Transaction, draft: NewJob, event: EventDraft): Promise<Submitted | AppError> {
  const job = await recordSubmitted(db, draft, event);
  return job ? { job, deduplicated: false } : existing(db, draft);
}

async function submitDenied(
  tx: Transaction,
  draft: NewJob,
  event: EventDraft,
  capability: string,
): Promise<Submitted | AppError> {
  const submitted = await submit(tx, draft, event);
  if (submitted instanceof Error || submitted.deduplicated) return submitted;
  const job = await lockJob(tx, draft.workspaceId, draft.jobId);
  if (!job) throw new Error("A job that was inserted is there.");
  const denied = await recordOne(tx, {
    job,
    set: become(job, "FAILED", `capability_denied: ${capability}`),
    event: denial(job, capability, "submit"),
  });
  return new CapabilityDeniedError(capability, denied.job);
}

/** The job that this key made before: the insert has waited for whoever was about to make it. */
async function existing(
  db: Transaction,
  { workspaceId, idempotencyKey, submitHash }: NewJob,
): Promise<Submitted | AppError> {
  const job = idempotencyKey === null ? null : await db.aiJob.findFirst({ where: { workspaceId, idempotencyKey } });
  if (!job) throw new Error("A job was not inserted, and no other job has its idempotency key.");
  return job.submitHash === submitHash ? { job, deduplicated: true } : new IdempotencyConflictError();
}

function draftOf(workspaceId: string, capabilityProfileId: string, input: SubmitAiJob): NewJob {
  return {
    ...input,
    jobId: uuidv7(),
    workspaceId,
    traceId: uuidv7(),
    workflowRunId: null,
    parentJobId: null,
    rootJobId: null,
    state: "QUEUED",
    statusReason: "submitted",
    errorMessage: null,
    capabilityProfileId,
    entityRefs: input.entityRefs.map((ref) => ({ ...ref })),
    plannedOperations: input.plannedOperations.map(({ opType, target, description }) => ({
      opType: word(opType),
      target: { ...target },
      description: description ?? null,
    })),
    jobOutputs: null,
    issues: [],
    attempt: 0,
    revisions: 0,
    preferredWorkerId: null,
    preferredUntil: null,
    tokenBudget: input.tokenBudget === null ? null : BigInt(input.tokenBudget),
    submitHash: hashOf(input),
    version: 1,
    durationMs: 0n,
    totalTokens: 0n,
    inputTokens: 0n,
    outputTokens: 0n,
    tokensPlanner: 0n,
    tokensExecutor: 0n,
    entitiesRead: 0n,
    entitiesWritten: 0n,
    validatorsRunCount: 0n,
    completedAt: null,
  };
}

/** Tells the same input sent twice from another one with its key, whatever the order of its keys. */
function hashOf(input: SubmitAiJob): string {
  return createHash("sha256").update(canonicalize(input)).digest("hex");
}
