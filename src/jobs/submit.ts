import { hash } from "node:crypto";
import { canonicalize } from "json-canonicalize";
import { uuidv7 } from "uuidv7";
import { type AiJob, Prisma } from "../db/generated/client/client.ts";
import type { AccessMode, JobKind, ModelTier, OperationType, SafetyMode } from "../db/generated/client/enums.ts";
import { ZERO_METRICS } from "../db/metrics.ts";
import { FORCED_GENERIC_PLAN } from "../db/prepared.ts";
import { type JsonValue, toDbEnum } from "../db/rows.ts";
import {
  type CommandContext,
  inSingleStatement,
  inTransaction,
  readWithRetry,
  type Transaction,
} from "../db/transaction.ts";
import {
  AppError,
  type BudgetExceededError,
  CapabilityDeniedError,
  IdempotencyConflictError,
  UnknownCapabilityError,
} from "../errors.ts";
import { type Actor, capabilityDenial, type EventDraft } from "../log/event.ts";
import { refuseSubmitByQuota } from "../quotas/admission.ts";
import type { EntityRef } from "./access-mode.ts";
import { checkCapability } from "./capabilities.ts";
import { insertJob, type NewJob } from "./insert.ts";
import { lockJob } from "./lock.ts";
import { transitionTo } from "./state.ts";
import { writeVersion } from "./store.ts";
import { type ParentError, reserveChildSlot } from "./tree.ts";

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
  /** The job that this one is to be a child of. */
  readonly parentJobId: string | null;
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

/** Why a submit is refused. */
export type SubmitError =
  | UnknownCapabilityError
  | CapabilityDeniedError
  | IdempotencyConflictError
  | BudgetExceededError
  | ParentError;

/**
 * Stores a job as queued; or as failed, where its capability profile does not suffice, so that the denial is on record
 * (section 6). The same idempotency key with the same input gives the job that it made.
 * @throws TryAgainError when the database gave way too often, or its connection broke; nothing was kept then.
 */
export async function submitAiJob(
  context: CommandContext,
  workspaceId: string,
  by: Actor,
  input: SubmitAiJob,
): Promise<Submitted | SubmitError> {
  const profile = await readProfile(context, workspaceId, input);
  if (profile instanceof AppError) return profile;
  const { granted, capability } = checkCapability(input.jobKind, profile.capabilities);
  const { parentJobId } = input;
  const draft = draftOf(workspaceId, profile.id, input);
  const event = submittedEvent(by, draft, granted ? capability : undefined);
  const { limited } = profile;
  if (granted && parentJobId === null && !limited) return inSingleStatement(context, (db) => submit(db, draft, event));
  return inTransaction(context, async (tx) => {
    const job = parentJobId === null ? draft : await withParent(tx, draft, parentJobId);
    if (job instanceof AppError) return (await findEarlierSubmit(tx, draft)) ?? job;
    // After the parent's row: quotas are locked last (section 4).
    const refusal = limited ? await refuseSubmitByQuota(tx, job) : null;
    if (refusal) return (await findEarlierSubmit(tx, draft)) ?? refusal;
    return granted ? submit(tx, job, event) : submitDenied(tx, job, event, capability);
  });
}

function submittedEvent(by: Actor, draft: NewJob, capabilityId: string | undefined): EventDraft {
  const { jobKind, protocolId, capabilityProfileId, parentJobId } = draft;
  return {
    type: "JOB_SUBMITTED",
    by,
    ...(capabilityId === undefined ? {} : { capabilityId }),
    payload: {
      job_kind: toDbEnum(jobKind),
      protocol_id: protocolId,
      capability_profile_id: capabilityProfileId,
      ...(parentJobId === null ? {} : { parent_job_id: parentJobId }),
    },
  };
}

/** What a submit has to know of its capability profile. */
interface Profile {
  readonly id: string;
  readonly capabilities: readonly string[];
  /** Whether the workspace has quotas that a submit with this profile is judged by. */
  readonly limited: boolean;
}

/** The profile that the client asks for, or the kind's default. Every submit asks, and this costs half of a `findUnique`. */
async function readProfile(
  { prisma }: CommandContext,
  workspaceId: string,
  { jobKind, capabilityProfileId: requestedId }: SubmitAiJob,
): Promise<Profile | UnknownCapabilityError> {
  // Without `<> '{}'` the index that holds only the default profiles would not be used.
  const isDefault = Prisma.sql`job_kinds <> '{}' AND ${toDbEnum(jobKind)}::"JobKind" = ANY(job_kinds)`;
  const condition = requestedId === null ? isDefault : Prisma.sql`id = ${requestedId}`;
  const [profile] = await readWithRetry(
    () => prisma.$queryRaw<Profile[]>`
      ${FORCED_GENERIC_PLAN} SELECT id, capabilities, EXISTS (
        SELECT FROM quotas q WHERE q.workspace_id = ${workspaceId}::uuid AND q.resource <> 'active_jobs'
          AND (q.capability_profile_id IS NULL OR q.capability_profile_id = p.id)
      ) AS limited
      FROM capability_profiles p WHERE ${condition}`,
  );
  if (profile) return profile;
  if (requestedId === null)
    throw new Error(`No capability profile is the default of ${jobKind}: the database is not this server's.`);
  return new UnknownCapabilityError(requestedId);
}

/** The draft as a child: what it has from its parent, which gets no other child above the limit meanwhile. */
async function withParent(tx: Transaction, draft: NewJob, parentJobId: string): Promise<NewJob | ParentError> {
  const inherited = await reserveChildSlot(tx, draft.workspaceId, parentJobId);
  return inherited instanceof AppError ? inherited : { ...draft, ...inherited };
}

async function submit(
  db: Transaction,
  draft: NewJob,
  event: EventDraft,
): Promise<Submitted | IdempotencyConflictError> {
  const job = await insertJob(db, draft, event);
  if (job) return { job, deduplicated: false };
  const earlier = await findEarlierSubmit(db, draft);
  if (!earlier) throw new Error("A job was not inserted, and no other job has its idempotency key.");
  return earlier;
}

async function submitDenied(
  tx: Transaction,
  draft: NewJob,
  event: EventDraft,
  capability: string,
): Promise<Submitted | IdempotencyConflictError | CapabilityDeniedError> {
  const submitted = await submit(tx, draft, event);
  if (submitted instanceof Error || submitted.deduplicated) return submitted;
  const job = await lockJob(tx, draft.workspaceId, draft.jobId);
  if (!job) throw new Error("A job that was inserted is there.");
  const denied = await writeVersion(tx, {
    job,
    set: transitionTo(job, "FAILED", `capability_denied: ${capability}`),
    event: capabilityDenial(job, capability, "submit"),
  });
  return new CapabilityDeniedError(capability, denied.job);
}

/**
 * The job that this key made before, which an insert has waited for; undefined where it made none. It is what the same
 * submit gets even if its parent has ended since, or a quota is used up.
 */
async function findEarlierSubmit(
  db: Transaction,
  { workspaceId, idempotencyKey, submitHash }: NewJob,
): Promise<Submitted | IdempotencyConflictError | undefined> {
  const job = idempotencyKey === null ? null : await db.aiJob.findFirst({ where: { workspaceId, idempotencyKey } });
  if (!job) return undefined;
  return job.submitHash === submitHash ? { job, deduplicated: true } : new IdempotencyConflictError();
}

function draftOf(workspaceId: string, capabilityProfileId: string, input: SubmitAiJob): NewJob {
  return {
    ...input,
    jobId: uuidv7(),
    workspaceId,
    traceId: uuidv7(),
    workflowRunId: null,
    // A child's place in its tree is known when its parent is locked.
    rootJobId: null,
    state: "QUEUED",
    statusReason: "submitted",
    errorMessage: null,
    capabilityProfileId,
    entityRefs: input.entityRefs.map((ref) => ({ ...ref })),
    plannedOperations: input.plannedOperations.map(({ opType, target, description }) => ({
      opType: toDbEnum(opType),
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
    submitHash: submitHashOf(input),
    version: 1,
    ...ZERO_METRICS,
    completedAt: null,
  };
}

/** Tells the same input sent twice from another one with its key, whatever the order of its keys. */
function submitHashOf(input: SubmitAiJob): string {
  return hash("sha256", canonicalize(input), "hex");
}
