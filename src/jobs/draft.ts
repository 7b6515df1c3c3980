import { uuidv7 } from "uuidv7";
import { canonicalHash } from "../canonical-hash.ts";
import type { AccessMode, JobKind, ModelTier, OperationType, SafetyMode } from "../db/generated/client/enums.ts";
import type { Label } from "../db/job-labels.ts";
import { withMetrics, ZERO_METRICS } from "../db/metrics.ts";
import { type JsonValue, toDbEnum } from "../db/rows.ts";
import type { CommandContext } from "../db/transaction.ts";
import type { Human } from "../log/event.ts";
import { largeHash } from "../threads/large-hash.ts";
import type { EntityRef } from "./access-mode.ts";
import type { NewJob } from "./insert.ts";

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
  /** The most that it may cost, in millionths of COST_CURRENCY, with the same rules. Null for no limit. */
  readonly costBudgetMicros: number | null;
  readonly idempotencyKey: string | null;
  /** The job's labels, each key once and not empty; null, as left out, for those of its parent, or none (section 14). */
  readonly labels: readonly Label[] | null;
}

/** The fields of a submit that no column of the job keeps: with one, the call of `draftOf` does not compile. Labels have a table. */
type NotStored = Exclude<keyof SubmitAiJob, keyof NewJob | "labels">;

/** Field by field, because a literal that begins with a spread (`...input`) takes 3 % of a submit's time. */
export function draftOf(
  workspaceId: string,
  capabilityProfileId: string,
  submitHash: string,
  { principalId }: Human,
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
    unchargedAttempts: 0,
    releases: 0,
    waitsFor: null,
    waitsUntil: null,
    progressFraction: null,
    progressMessage: null,
    progressAt: null,
    preferredWorkerId: null,
    preferredUntil: null,
    tokenBudget: input.tokenBudget === null ? null : BigInt(input.tokenBudget),
    costBudgetMicros: input.costBudgetMicros === null ? null : BigInt(input.costBudgetMicros),
    costMicros: 0n,
    idempotencyKey: input.idempotencyKey,
    submitHash,
    submittedBy: principalId,
    // Of a child that inherits them, set as its root is.
    labelCount: input.labels?.length ?? 0,
    version: 1,
    completedAt: null,
    endedAt: null,
  };
  return withMetrics(job, ZERO_METRICS);
}

/**
 * Fields that are null are not hashed, so that an optional field that a later version adds changes no hash: a submit that is
 * sent again after an upgrade is still recognised.
 * @returns the hash that tells a repeated input from a different one with the same idempotency key (section 9).
 */
export async function submitHashOf({ client }: CommandContext, input: SubmitAiJob): Promise<string> {
  const given = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== null));
  return (await largeHash(client, given)) ?? canonicalHash(given);
}
