import { uuidv7 } from "uuidv7";
import { canonicalHash } from "../canonical-hash.ts";
import { type AiJob, Prisma } from "../db/generated/client/client.ts";
import type { AccessMode, JobKind, ModelTier, OperationType, SafetyMode } from "../db/generated/client/enums.ts";
import { withMetrics, ZERO_METRICS } from "../db/metrics.ts";
import { PREPARE_MARKER } from "../db/prepared.ts";
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
import { checkSubmitQuotas } from "../quotas/admission.ts";
import { largeHash } from "../threads/large-hash.ts";
import type { EntityRef } from "./access-mode.ts";
import { checkCapability } from "./capabilities.ts";
import { insertJob, type NewJob } from "./insert.ts";
import { lockJob } from "./lock.ts";
import { transitionTo } from "./state.ts";
import { writeVersion } from "./store.ts";
import { type ParentError, reserveChildSlot } from "./tree.ts";

/** What a job intends to do to something outside this server (section 3). */
export interface PlannedOperation {
  readonly opType: OperationType;
  readonly target: EntityRef;
  readonly description?: string | null | undefined;
}

/** The input of a submit, with all defaults filled in. */
export interface SubmitAiJob {
  readonly jobKind: JobKind;
  readonly protocolId: string;
  readonly profileId: string;
  /** The capability profile that the client names; null for the default profile of the kind. */
  readonly capabilityProfileId: string | null;
  readonly accessMode: AccessMode;
  readonly safetyMode: SafetyMode;
  readonly modelTier: ModelTier;
  readonly entityRefs: readonly EntityRef[];
  readonly plannedOperations: readonly PlannedOperation[];
  readonly jobInputs: JsonValue;
  /** The parent; null for a job at the top of its tree. */
  readonly parentJobId: string | null;
  readonly priority: number;
  readonly runAfter: Date | null;
  readonly maxAttempts: number;
  /** The largest number of tokens; a report that exceeds it fails the job (section 6). Null for no limit. */
  readonly tokenBudget: number | null;
  readonly idempotencyKey: string | null;
}

/** The answer to an accepted submit. */
export interface Submitted {
  readonly job: AiJob;
  /** Whether an earlier submit with the same idempotency key created the job. */
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
 * Stores a job as queued (section 6). A job whose capability profile does not suffice is stored as failed, so that the log
 * records the denial. The same idempotency key with the same input returns the job that it created before.
 * @returns the job, or why it is refused. With CapabilityDeniedError the job was stored; with any other error nothing was.
 * @throws TryAgainError when every attempt was rolled back, the connection broke before the commit, or too much large content
 * waits to be hashed: nothing was kept.
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
  const draft = draftOf(workspaceId, profile.id, await submitHashOf(context, input), input);
  const event = submittedEvent(by, draft, granted ? capability : undefined);
  const { hasQuotas } = profile;
  if (granted && parentJobId === null && !hasQuotas)
    return inSingleStatement(context, (db) => submit(db, draft, event));
  return inTransaction(context, async (tx) => {
    const job = parentJobId === null ? draft : await withParent(tx, draft, parentJobId);
    if (job instanceof AppError) return (await findEarlierSubmit(tx, draft)) ?? job;
    // After the parent's row, because quotas come after job rows in the lock order (section 4).
    const refusal = hasQuotas ? await checkSubmitQuotas(tx, job) : null;
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

/** What a submit needs to know about its capability profile. */
interface Profile {
  readonly id: string;
  readonly capabilities: readonly string[];
  /** Whether the workspace has quotas that apply to a submit with this profile. */
  readonly hasQuotas: boolean;
}

/** Reads the named profile, or the kind's default. In SQL, because every submit does so and `findUnique` takes twice as long. */
async function readProfile(
  { prisma }: CommandContext,
  workspaceId: string,
  { jobKind, capabilityProfileId: requestedId }: SubmitAiJob,
): Promise<Profile | UnknownCapabilityError> {
  // `<> '{}'` is the condition of the partial index of default profiles, which would not be used without it.
  const isDefault = Prisma.sql`job_kinds <> '{}' AND ${toDbEnum(jobKind)}::"JobKind" = ANY(job_kinds)`;
  const condition = requestedId === null ? isDefault : Prisma.sql`id = ${requestedId}`;
  const [profile] = await readWithRetry(
    () => prisma.$queryRaw<Profile[]>`
      ${PREPARE_MARKER} SELECT id, capabilities, EXISTS (
        SELECT FROM quotas q WHERE q.workspace_id = ${workspaceId}::uuid AND q.resource <> 'active_jobs'
          AND (q.capability_profile_id IS NULL OR q.capability_profile_id = p.id)
      ) AS "hasQuotas"
      FROM capability_profiles p WHERE ${condition}`,
  );
  if (profile) return profile;
  if (requestedId === null)
    throw new Error(`No capability profile is the default of ${jobKind}: the database is not one of this server.`);
  return new UnknownCapabilityError(requestedId);
}

/** Completes a draft with what it inherits from its parent, and reserves its slot in the tree until the transaction ends. */
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
  if (!earlier) throw new Error("A job was not inserted, although no other job has its idempotency key.");
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
  if (!job) throw new Error("A job was inserted but not found.");
  const denied = await writeVersion(tx, {
    job,
    set: transitionTo(job, "FAILED", `capability_denied: ${capability}`),
    event: capabilityDenial(job, capability, "submit"),
  });
  return new CapabilityDeniedError(capability, denied.job);
}

/**
 * Looks for the job that an earlier submit with this idempotency key created. A repeated submit gets that job even if its
 * parent has ended since, or a quota is used up. After an insert that found the key taken, the other submit has committed,
 * because the insert waited for it.
 * @returns undefined where the key created no job; an error where the earlier input was a different one.
 */
async function findEarlierSubmit(
  db: Transaction,
  { workspaceId, idempotencyKey, submitHash }: NewJob,
): Promise<Submitted | IdempotencyConflictError | undefined> {
  const job = idempotencyKey === null ? null : await db.aiJob.findFirst({ where: { workspaceId, idempotencyKey } });
  if (!job) return undefined;
  return job.submitHash === submitHash ? { job, deduplicated: true } : new IdempotencyConflictError();
}

/** The fields of a submit that no column of the job keeps: with one, the call of `draftOf` does not compile. */
type NotStored = Exclude<keyof SubmitAiJob, keyof NewJob>;

/** Field by field, because a literal that begins with a spread (`...input`) takes 3 % of a submit's time. */
function draftOf(
  workspaceId: string,
  capabilityProfileId: string,
  submitHash: string,
  input: SubmitAiJob & Record<NotStored, never>,
): NewJob {
  const job = {
    jobId: uuidv7(),
    workspaceId,
    traceId: uuidv7(),
    workflowRunId: null,
    parentJobId: input.parentJobId,
    // For a child this is set, like its trace, when the parent has been locked (`withParent`).
    rootJobId: null,
    jobKind: input.jobKind,
    protocolId: input.protocolId,
    profileId: input.profileId,
    capabilityProfileId,
    accessMode: input.accessMode,
    safetyMode: input.safetyMode,
    modelTier: input.modelTier,
    state: "QUEUED" as const,
    statusReason: "submitted",
    errorMessage: null,
    entityRefs: input.entityRefs.map((ref) => ({ ...ref })),
    plannedOperations: input.plannedOperations.map(({ opType, target, description }) => ({
      opType: toDbEnum(opType),
      target: { ...target },
      description: description ?? null,
    })),
    jobInputs: input.jobInputs,
    jobOutputs: null,
    issues: [],
    priority: input.priority,
    runAfter: input.runAfter,
    attempt: 0,
    maxAttempts: input.maxAttempts,
    revisions: 0,
    preferredWorkerId: null,
    preferredUntil: null,
    tokenBudget: input.tokenBudget === null ? null : BigInt(input.tokenBudget),
    idempotencyKey: input.idempotencyKey,
    submitHash,
    version: 1,
    completedAt: null,
  };
  return withMetrics(job, ZERO_METRICS);
}

/**
 * Fields that are null are not hashed, so that an optional field that a later version adds changes no hash: a submit that is
 * sent again after an upgrade is still recognised.
 * @returns the hash that tells a repeated input from a different one with the same idempotency key (section 9).
 */
async function submitHashOf({ client }: CommandContext, input: SubmitAiJob): Promise<string> {
  const given = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== null));
  return (await largeHash(client, given)) ?? canonicalHash(given);
}
