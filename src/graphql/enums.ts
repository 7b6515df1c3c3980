import type * as db from "../db/generated/client/enums.ts";
import { ERROR_CODES, WORKFLOW_DIRECTIVES } from "../errors.ts";
import { PERMISSIONS, ROLES } from "../identity/permissions.ts";
import { REVIEW_DECISIONS } from "../review/user-review.ts";
import { VALIDATION_VERDICTS } from "../review/verdict.ts";
import { SENSITIVITIES } from "../runs/retrieved-snippets.ts";
import { USAGE_GROUPS, USAGE_INTERVALS } from "../totals/usage-query.ts";
import { builder } from "./builder.ts";

/**
 * The enums of the API. Prisma's enums are the source (section 2): a map below that lacks one of their values, or has a
 * value that is not one of theirs, does not compile. The maps add the descriptions that the schema shows.
 */

type Described<Name extends string> = Readonly<Record<Name, string>>;

function enumType<const Name extends string>(name: string, description: string, values: Described<Name>) {
  // Object.fromEntries would widen the keys to string, and the enum's type would lose its values.
  const described = mapValues(values, (text) => ({ description: text }));
  return builder.enumType(name, { description, values: described });
}

function mapValues<Key extends string, In, Out>(map: Readonly<Record<Key, In>>, change: (value: In) => Out) {
  const changed: Partial<Record<Key, Out>> = {};
  for (const key in map) changed[key] = change(map[key]);
  return complete(changed, map);
}

/**
 * Checks that a partial record has all keys of another record, which gives it the type of a complete one.
 * @throws TypeError where a key is missing.
 */
function complete<Key extends string, Out>(
  part: Partial<Record<Key, Out>>,
  whole: Readonly<Record<Key, unknown>>,
): Record<Key, Out> {
  if (isComplete(part, whole)) return part;
  throw new TypeError("A key is missing.");
}

function isComplete<Key extends string, Out>(
  part: Partial<Record<Key, Out>>,
  whole: Readonly<Record<Key, unknown>>,
): part is Record<Key, Out> {
  return Object.keys(whole).every((key) => Object.hasOwn(part, key));
}

export const JobKindEnum = enumType("JobKind", "The kind of work that a job is [HSK-JOB-100] (section 2).", {
  DOC_EDIT: "Edits a document.",
  DOC_SUMMARIZE: "Summarises a document. Kept for backward compatibility.",
  SHEET_TRANSFORM: "Transforms a sheet.",
  CANVAS_CLUSTER: "Clusters the items of a canvas.",
  ASR_TRANSCRIBE: "Transcribes speech.",
  WORKFLOW_RUN: "Runs a workflow of several steps.",
  TERMINAL_EXEC: "Runs a command in a terminal; needs the capability term.exec. Kept for backward compatibility.",
} satisfies Described<db.JobKind>);

export const JobStateEnum = enumType("JobState", "The state of a job, a run or a node execution (section 4).", {
  QUEUED: "Waiting for a worker.",
  RUNNING: "A worker has a lease on it.",
  STALLED: "The worker's lease expired. Recovery queues the job again or fails it.",
  AWAITING_VALIDATION: "Its outputs are waiting for a validator's verdict.",
  AWAITING_USER: "A person must decide on its outputs, or answer its worker's question: waitsFor says which.",
  COMPLETED: "Done; its outputs count as applied. Terminal.",
  COMPLETED_WITH_ISSUES: "Done, with issues noted; its outputs count as applied. Terminal.",
  FAILED: "Did not succeed. A person can retry the job.",
  CANCELLED: "Cancelled before it completed. Terminal.",
  POISONED: "A guard or a person found a security violation in its content. Terminal (section 5).",
} satisfies Described<db.JobState>);

export const AccessModeEnum = enumType("AccessMode", "What a job may do to entities outside this server (section 6).", {
  ANALYSIS_ONLY: "It reads, and writes nothing.",
  PREVIEW_ONLY: "It produces a preview, and writes nothing.",
  APPLY_SCOPED: "It writes only entities that its entityRefs cover.",
} satisfies Described<db.AccessMode>);

export const SafetyModeEnum = enumType(
  "SafetyMode",
  "How careful the worker should be. Advice to the worker: the server's guards do not depend on it (section 7).",
  {
    STRICT: "Refuse whatever is in doubt.",
    NORMAL: "The usual care.",
    EXPERIMENTAL: "The results are for experiments only.",
  } satisfies Described<db.SafetyMode>,
);

export const ModelTierEnum = enumType("ModelTier", "Where the job's model runs; fixed at submit.", {
  LOCAL: "On the user's own machines.",
  CLOUD: "At a provider: the content that the job reads leaves the user's machines.",
} satisfies Described<db.ModelTier>);

export const OperationTypeEnum = enumType("OperationType", "What a planned operation does to its target (section 3).", {
  READ: "Reads the target.",
  WRITE: "Writes the target.",
  PLAN: "Plans a change of the target.",
  EXECUTE: "Executes the target.",
} satisfies Described<db.OperationType>);

export const WaitsForEnum = enumType(
  "WaitsFor",
  "What a job waits for: it decides which decisions are open (section 13).",
  {
    TIME: "A time, its runAfter. It is QUEUED.",
    CHILDREN: "The end of all its children. It is QUEUED, and no worker gets it before.",
    USER_REVIEW: "A person's decision on its outputs. It is AWAITING_USER.",
    USER_INPUT: "A person's answer to a worker's question. It is AWAITING_USER.",
  } satisfies Described<db.WaitsFor>,
);

export const RecorderActorEnum = enumType("RecorderActor", "Who made a change (section 9).", {
  HUMAN: "A person, or a program that acts for one.",
  AGENT: "A worker.",
  SYSTEM: "The server itself.",
} satisfies Described<db.RecorderActor>);

export const RecorderEventTypeEnum = enumType(
  "RecorderEventType",
  "The type of an event of the flight recorder (section 9).",
  {
    JOB_SUBMITTED: "A job was submitted.",
    STATE_CHANGED: "A job changed its state.",
    NODE_CHANGED: "A step started or ended.",
    METRICS_RECORDED: "A heartbeat added metrics.",
    CAPABILITY_ACTION: "A capability was denied.",
    LLM_INFERENCE: "A step of type llm_call started or ended.",
    DIAGNOSTIC: "A guard could not decide (it threw or timed out), or raised an error that does not poison.",
    SECURITY_VIOLATION:
      "A security violation poisoned the job, or was recorded on a job that had completed or been cancelled " +
      "(FR-EVT-SEC-VIOLATION).",
    WORKFLOW_RECOVERY: "A run whose lease had expired was taken from its worker (FR-EVT-WF-RECOVERY).",
  } satisfies Described<db.RecorderEventType>,
);

export const ViolationTypeEnum = enumType("ViolationType", "The type of a security violation (sections 2 and 5).", {
  PROMPT_INJECTION: "A text tries to give instructions to the model (ACE-014).",
  CLOUD_LEAKAGE: "Content would be sent to a cloud model that must not see it (ACE-013).",
  SENSITIVITY: "A source is too sensitive for the model (ACE-013).",
  UNKNOWN_SENSITIVITY: "It is not known how sensitive a source is (ACE-013).",
  EXPORT: "A source must not be exported (ACE-013).",
} satisfies Described<db.ViolationType>);

export const ErrorCodeEnum = enumType("ErrorCode", "The codes of all errors.", ERROR_CODES);

export const WorkflowDirectiveEnum = enumType(
  "WorkflowDirective",
  "What a worker must do next (section 6).",
  WORKFLOW_DIRECTIVES,
);

export const ViolationActionEnum = enumType("ViolationAction", "What reporting a security violation did (section 5).", {
  POISONED: "The report poisoned the job.",
  RECORDED: "The job had completed or been cancelled: the violation is recorded, and the state stays as it was.",
  ALREADY_POISONED: "The job was already poisoned: nothing changed.",
});

export const StepOutcomeEnum = enumType("StepOutcome", "The progress of a step that a worker reports.", {
  STARTED: "The step starts.",
  SUCCEEDED: "The step succeeded.",
  FAILED: "The step failed; the run goes on.",
});

export const ValidationVerdictEnum = enumType(
  "ValidationVerdict",
  "A validator's verdict on outputs (section 6).",
  VALIDATION_VERDICTS,
);

export const ReviewDecisionEnum = enumType(
  "ReviewDecision",
  "A person's decision on outputs (section 6).",
  REVIEW_DECISIONS,
);

export const SensitivityEnum = enumType(
  "Sensitivity",
  "How sensitive a source is, as its reader knows it. It is not stored; section 7 says which guard looks at it.",
  SENSITIVITIES,
);

export const AiJobChangeKindEnum = enumType("AiJobChangeKind", "What a live payload shows (section 10).", {
  SNAPSHOT: "The job as it was when the subscription began.",
  EVENT: "A change of the job.",
});

export const QuotaResourceEnum = enumType("QuotaResource", "What a quota counts (section 6).", {
  TOKENS: "Tokens that workers reported within the window. Once used up, submits and starts are refused.",
  COST:
    "What the calls of models cost that workers reported within the window, in millionths of the deployment's currency (COST_CURRENCY). " +
    "Once used up, submits and starts are refused.",
  JOBS: "Jobs submitted within the window. Once used up, submits are refused.",
  ACTIVE_JOBS:
    "Jobs that are RUNNING or AWAITING_VALIDATION now: one that waits for a person takes no place. Once used up, starts are refused.",
} satisfies Described<db.QuotaResource>);

export const BulkActionKindEnum = enumType("BulkActionKind", "What a bulk action does to each of its jobs.", {
  CANCEL: "Cancels each job whose state allows it.",
  RETRY: "Queues each job again whose state and token budget allow it.",
} satisfies Described<db.BulkActionKind>);

export const PermissionEnum = enumType(
  "Permission",
  "What a principal may do. Each field of Query, Mutation and Subscription needs one (section 11).",
  PERMISSIONS,
);

export const RoleEnum = enumType(
  "Role",
  "A set of permissions; docs/permissions.md has the table (section 11).",
  descriptionsOf(ROLES),
);

export const UsageIntervalEnum = enumType(
  "UsageInterval",
  "How long the intervals of aiJobUsage are (section 14).",
  descriptionsOf(USAGE_INTERVALS),
);

export const UsageGroupEnum = enumType(
  "UsageGroup",
  "What rows of aiJobUsage are kept apart by (section 14).",
  descriptionsOf(USAGE_GROUPS),
);

function descriptionsOf<Name extends string>(roles: Readonly<Record<Name, { readonly description: string }>>) {
  return mapValues(roles, ({ description }) => description);
}
