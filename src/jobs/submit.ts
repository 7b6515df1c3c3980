import { createHash } from "node:crypto";
import { canonicalize } from "json-canonicalize";
import { uuidv7 } from "uuidv7";
import { checkCapability, defaultProfileOf } from "../capabilities/registry.ts";
import { type AppError, CapabilityDeniedError, IdempotencyConflictError, UnknownCapabilityError } from "../errors.ts";
import { type NewJob, recordOne, recordSubmitted, type Transaction } from "../recorder/commit.ts";
import { type Actor, denial } from "../recorder/event.ts";
import { inTransaction, type Recorder } from "../recorder/transaction.ts";
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
export function submitAiJob(
  recorder: Recorder,
  workspaceId: string,
  by: Actor,
  input: SubmitAiJob,
): Promise<Submitted | AppError> {
  return inTransaction(recorder, (tx) => submit(tx, workspaceId, by, input));
}

async function submit(
  tx: Transaction,
  workspaceId: string,
  by: Actor,
  input: SubmitAiJob,
): Promise<Submitted | AppError> {
  const profileId = input.capabilityProfileId ?? defaultProfileOf(input.jobKind);
  const profile = await tx.capabilityProfile.findUnique({ where: { id: profileId } });
  if (!profile) return new UnknownCapabilityError(profileId);
  const check = checkCapability(input.jobKind, profile.capabilities);
  const draft = draftOf(workspaceId, profile, input);
  const submitted = await recordSubmitted(tx, draft, {
    type: "JOB_SUBMITTED",
    by,
    ...(check.granted ? { capabilityId: check.capability } : {}),
    payload: { job_kind: word(input.jobKind), protocol_id: input.protocolId, capability_profile_id: profileId },
  });
  if (!submitted) return existing(tx, workspaceId, draft);
  if (check.granted) return { job: submitted.job, deduplicated: false };
  const { job } = submitted;
  const denied = await recordOne(tx, {
    job,
    set: become(job, "FAILED", `capability_denied: ${check.capability}`),
    event: denial(job, check.capability, "submit"),
  });
  return new CapabilityDeniedError(check.capability, denied.job);
}

/** The job that this key made before: the insert has waited for whoever was about to make it. */
async function existing(tx: Transaction, workspaceId: string, draft: NewJob): Promise<Submitted | AppError> {
  const { idempotencyKey, submitHash } = draft;
  const job = idempotencyKey === null ? null : await tx.aiJob.findFirst({ where: { workspaceId, idempotencyKey } });
  if (!job) throw new Error("A job was not inserted, and no other job has its idempotency key.");
  return job.submitHash === submitHash ? { job, deduplicated: true } : new IdempotencyConflictError();
}

function draftOf(
  workspaceId: string,
  profile: { readonly id: string; readonly capabilities: readonly string[] },
  input: SubmitAiJob,
): NewJob {
  const { idempotencyKey, runAfter, ...rest } = input;
  const jobId = uuidv7();
  return {
    ...rest,
    jobId,
    workspaceId,
    traceId: uuidv7(),
    workflowRunId: null,
    parentJobId: null,
    state: "QUEUED",
    statusReason: "submitted",
    errorMessage: null,
    capabilityProfileId: profile.id,
    capabilities: profile.capabilities,
    entityRefs: input.entityRefs.map((ref) => ({ ...ref })),
    plannedOperations: input.plannedOperations.map(({ opType, target, description }) => ({
      opType: word(opType),
      target: { ...target },
      description: description ?? null,
    })),
    jobOutputs: null,
    issues: [],
    runAfter,
    attempt: 0,
    tokenBudget: null,
    idempotencyKey,
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
    // The recorder puts the database's clock here.
    createdAt: new Date(0),
    updatedAt: new Date(0),
    completedAt: null,
  };
}

/** Tells the same input sent twice from another one with its key, whatever the order of its keys. */
function hashOf(input: SubmitAiJob): string {
  return createHash("sha256").update(canonicalize(input)).digest("hex");
}
