import { type AiJob, Prisma } from "../db/generated/client/client.ts";
import type { Label } from "../db/job-labels.ts";
import { PREPARE_MARKER } from "../db/prepared.ts";
import { toDbEnum } from "../db/rows.ts";
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
  NotFoundError,
  UnknownCapabilityError,
} from "../errors.ts";
import { capabilityDenial, type EventDraft, type Human } from "../log/event.ts";
import { checkSubmitQuotas } from "../quotas/admission.ts";
import { checkCapability } from "./capabilities.ts";
import { draftOf, type SubmitAiJob, submitHashOf } from "./draft.ts";
import { insertJob, type NewJob } from "./insert.ts";
import { byKey } from "./labels.ts";
import { lockJob } from "./lock.ts";
import { transitionTo } from "./state.ts";
import { writeVersion } from "./store.ts";
import { type ParentError, reserveChildSlot } from "./tree.ts";

/** The answer to an accepted submit. */
export interface Submitted {
  readonly job: AiJob;
  /** Whether an earlier submit with the same idempotency key created the job. */
  readonly deduplicated: boolean;
}

/** Why a submit is refused. */
export type SubmitError =
  | NotFoundError
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
  by: Human,
  sent: SubmitAiJob,
): Promise<Submitted | SubmitError> {
  // By key before they are hashed: their order means nothing.
  const input = sent.labels === null ? sent : { ...sent, labels: byKey(sent.labels) };
  const profile = await readProfile(context, workspaceId, input);
  if (profile instanceof AppError) return profile;
  const { granted, capability } = checkCapability(input.jobKind, profile.capabilities);
  const { parentJobId } = input;
  const draft = draftOf(workspaceId, profile.id, await submitHashOf(context, input), by, input);
  const labels = input.labels ?? [];
  const event = submittedEvent(by, draft, granted ? capability : undefined);
  const { hasQuotas } = profile;
  if (granted && parentJobId === null && !hasQuotas)
    return inSingleStatement(context, [workspaceId], (db) => submit(db, context, { draft, labels }, event));
  return inTransaction(context, [workspaceId], async (tx) => {
    const labelled = parentJobId === null ? { draft, labels } : await withParent(tx, draft, parentJobId, input.labels);
    if (labelled instanceof AppError) return (await findEarlierSubmit(tx, draft)) ?? labelled;
    // After the parent's row, because quotas come after job rows in the lock order (section 4).
    const refusal = hasQuotas ? await checkSubmitQuotas(tx, labelled.draft) : null;
    if (refusal) return (await findEarlierSubmit(tx, draft)) ?? refusal;
    return granted ? submit(tx, context, labelled, event) : submitDenied(tx, context, labelled, event, capability);
  });
}

function submittedEvent(by: Human, draft: NewJob, capabilityId: string | undefined): EventDraft {
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
  /** Whether the workspace may get a job: where it must have been made, whether it was. Nobody removes one. */
  readonly hasWorkspace: boolean;
}

/** Reads the named profile, or the kind's default. In SQL, because every submit does so and `findUnique` takes twice as long. */
async function readProfile(
  { prisma, workspacesMustExist = false }: CommandContext,
  workspaceId: string,
  { jobKind, capabilityProfileId: requestedId }: SubmitAiJob,
): Promise<Profile | NotFoundError | UnknownCapabilityError> {
  // `<> '{}'` is the condition of the partial index of default profiles, which would not be used without it.
  const isDefault = Prisma.sql`job_kinds <> '{}' AND ${toDbEnum(jobKind)}::"JobKind" = ANY(job_kinds)`;
  const condition = requestedId === null ? isDefault : Prisma.sql`id = ${requestedId}`;
  const exists = workspacesMustExist
    ? Prisma.sql`EXISTS (SELECT FROM workspaces WHERE workspace_id = ${workspaceId}::uuid)`
    : Prisma.sql`true`;
  const [profile] = await readWithRetry(
    [workspaceId],
    () => prisma.$queryRaw<Profile[]>`
      ${PREPARE_MARKER} SELECT id, capabilities, EXISTS (
        SELECT FROM quotas q WHERE q.workspace_id = ${workspaceId}::uuid AND q.resource <> 'active_jobs'
          AND (q.capability_profile_id IS NULL OR q.capability_profile_id = p.id)
      ) AS "hasQuotas", ${exists} AS "hasWorkspace"
      FROM capability_profiles p WHERE ${condition}`,
  );
  if (profile) return profile.hasWorkspace ? profile : new NotFoundError("workspace");
  if (requestedId === null)
    throw new Error(`No capability profile is the default of ${jobKind}: the database is not one of this server.`);
  return new UnknownCapabilityError(requestedId);
}

/** A job that is to be inserted, and its labels. */
interface LabelledDraft {
  readonly draft: NewJob;
  readonly labels: readonly Label[];
}

/**
 * Completes a draft with what it inherits from its parent, and reserves its slot in the tree until the transaction ends. Labels are
 * inherited all or none: those of a child that has its own say what its submitter wanted, and nothing that it did not see.
 * @param given the child's own labels; null where it has none.
 */
async function withParent(
  tx: Transaction,
  draft: NewJob,
  parentJobId: string,
  given: readonly Label[] | null,
): Promise<LabelledDraft | ParentError> {
  const inherited = await reserveChildSlot(tx, draft.workspaceId, parentJobId);
  if (inherited instanceof AppError) return inherited;
  const { traceId, rootJobId } = inherited;
  const labels = given ?? inherited.labels;
  return { draft: { ...draft, traceId, rootJobId, labelCount: labels.length }, labels };
}

async function submit(
  db: Transaction,
  { workspacesMustExist }: CommandContext,
  { draft, labels }: LabelledDraft,
  event: EventDraft,
): Promise<Submitted | IdempotencyConflictError> {
  const job = await insertJob(db, draft, labels, event, workspacesMustExist);
  if (job) return { job, deduplicated: false };
  const earlier = await findEarlierSubmit(db, draft);
  if (!earlier) throw new Error("A job was not inserted, although no other job has its idempotency key.");
  return earlier;
}

async function submitDenied(
  tx: Transaction,
  context: CommandContext,
  labelled: LabelledDraft,
  event: EventDraft,
  capability: string,
): Promise<Submitted | IdempotencyConflictError | CapabilityDeniedError> {
  const submitted = await submit(tx, context, labelled, event);
  if (submitted instanceof Error || submitted.deduplicated) return submitted;
  const job = await lockJob(tx, labelled.draft.workspaceId, labelled.draft.jobId);
  if (!job) throw new Error("A job was inserted but not found.");
  const denied = await writeVersion(tx, {
    job,
    set: transitionTo(job, "FAILED", `capability_denied: ${capability}`),
    event: capabilityDenial(job, capability, "submit", event.by.principalId),
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
