import type * as db from "../db/generated/client/enums.ts";
import { ERROR_CODES, WORKFLOW_DIRECTIVES } from "../errors.ts";
import { REVIEW_DECISIONS } from "../review/user-review.ts";
import { VALIDATION_VERDICTS } from "../review/verdict.ts";
import { builder } from "./builder.ts";

/**
 * Prisma's enums are the one list: each map below has to name every value, and no other, or it does not compile.
 * What a value means stands here, for people who read the schema.
 */

type Described<Name extends string> = Readonly<Record<Name, string>>;

function enumType<const Name extends string>(name: string, description: string, values: Described<Name>) {
  // Built entry by entry, because the keys of an object lose their names on the way through Object.entries.
  const described = mapValues(values, (text) => ({ description: text }));
  return builder.enumType(name, { description, values: described });
}

function mapValues<Key extends string, In, Out>(map: Readonly<Record<Key, In>>, change: (value: In) => Out) {
  const changed: Partial<Record<Key, Out>> = {};
  for (const key in map) changed[key] = change(map[key]);
  return complete(changed, map);
}

/** Every key of `whole` is in `part`: checked, so that the type may say so. */
function complete<Key extends string, Out>(
  part: Partial<Record<Key, Out>>,
  whole: Readonly<Record<Key, unknown>>,
): Record<Key, Out> {
  if (isComplete(part, whole)) return part;
  throw new TypeError("A key was lost.");
}

function isComplete<Key extends string, Out>(
  part: Partial<Record<Key, Out>>,
  whole: Readonly<Record<Key, unknown>>,
): part is Record<Key, Out> {
  return Object.keys(whole).every((key) => Object.hasOwn(part, key));
}

export const JobKindEnum = enumType("JobKind", "What sort of work a job is [HSK-JOB-100] (section 2).", {
  DOC_EDIT: "Edits a document.",
  DOC_SUMMARIZE: "Summarises a document. Kept for backward compatibility.",
  SHEET_TRANSFORM: "Transforms a sheet.",
  CANVAS_CLUSTER: "Clusters what is on a canvas.",
  ASR_TRANSCRIBE: "Transcribes speech.",
  WORKFLOW_RUN: "Runs a workflow of several steps.",
  TERMINAL_EXEC: "Runs a command in a terminal; needs the capability term.exec. Kept for backward compatibility.",
} satisfies Described<db.JobKind>);

export const JobStateEnum = enumType("JobState", "Where a job, a run or a node stands (section 4).", {
  QUEUED: "Waits for a worker.",
  RUNNING: "A worker holds it by a lease.",
  STALLED: "Its worker's lease ran out; recovery decides what comes next.",
  AWAITING_VALIDATION: "Its outputs wait for a verdict.",
  AWAITING_USER: "Its outputs wait for a person's decision.",
  COMPLETED: "Done; its outputs count as applied. Nothing leaves this state.",
  COMPLETED_WITH_ISSUES: "Done, with issues noted; its outputs count as applied. Nothing leaves this state.",
  FAILED: "Did not succeed. It can be retried.",
  CANCELLED: "Called off. Nothing leaves this state.",
  POISONED: "A guard found an attack or a leak in what it read. Nothing can change it any more (section 5).",
} satisfies Described<db.JobState>);

export const AccessModeEnum = enumType("AccessMode", "What a job may do to entities outside this server (section 6).", {
  ANALYSIS_ONLY: "Reads only.",
  PREVIEW_ONLY: "Makes a preview; writes nothing.",
  APPLY_SCOPED: "Writes the entities in its entityRefs, and no other.",
} satisfies Described<db.AccessMode>);

export const SafetyModeEnum = enumType("SafetyMode", "How careful the job's worker should be.", {
  STRICT: "Refuse what is in doubt.",
  NORMAL: "The usual care.",
  EXPERIMENTAL: "Results are for trying out only.",
} satisfies Described<db.SafetyMode>);

export const ModelTierEnum = enumType("ModelTier", "Where the job's model runs; never changes.", {
  LOCAL: "On the user's own machines.",
  CLOUD: "At a provider: what the job reads leaves the house.",
} satisfies Described<db.ModelTier>);

export const OperationTypeEnum = enumType("OperationType", "What a planned operation does to its target.", {
  READ: "Reads it.",
  WRITE: "Writes it.",
  PLAN: "Plans a change of it.",
  EXECUTE: "Executes it.",
} satisfies Described<db.OperationType>);

export const RecorderActorEnum = enumType("RecorderActor", "Who made a change (section 11).", {
  HUMAN: "A person, or a program that acts for one.",
  AGENT: "A worker.",
  SYSTEM: "The server itself.",
} satisfies Described<db.RecorderActor>);

export const RecorderEventTypeEnum = enumType("RecorderEventType", "What an event tells of (section 4).", {
  JOB_SUBMITTED: "A job was submitted.",
  STATE_CHANGED: "A job went to another state.",
  NODE_CHANGED: "A step started or ended.",
  METRICS_RECORDED: "A heartbeat brought metrics.",
  CAPABILITY_ACTION: "A capability was denied.",
  LLM_INFERENCE: "A step of type llm_call started or ended.",
  DIAGNOSTIC: "A guard raised an error that does not poison.",
  SECURITY_VIOLATION: "A violation poisoned the job, or was recorded on one that had ended (FR-EVT-SEC-VIOLATION).",
  WORKFLOW_RECOVERY: "A run whose lease ran out was taken from its worker (FR-EVT-WF-RECOVERY).",
} satisfies Described<db.RecorderEventType>);

export const ViolationTypeEnum = enumType("ViolationType", "What a guard found (section 2).", {
  PROMPT_INJECTION: "A text tries to give the model orders (ACE-014).",
  CLOUD_LEAKAGE: "Content would leave for a cloud model that may not see it (ACE-013).",
  SENSITIVITY: "A source is too sensitive for the model (ACE-013).",
  UNKNOWN_SENSITIVITY: "Nobody knows how sensitive a source is (ACE-013).",
  EXPORT: "A source may not be exported (ACE-013).",
} satisfies Described<db.ViolationType>);

export const ErrorCodeEnum = enumType("ErrorCode", "Every code that an error can carry.", ERROR_CODES);

export const WorkflowDirectiveEnum = enumType(
  "WorkflowDirective",
  "What a worker must do next (section 6).",
  WORKFLOW_DIRECTIVES,
);

export const ViolationActionEnum = enumType("ViolationAction", "What a report of a violation did (section 5).", {
  POISONED: "The job is poisoned now.",
  RECORDED: "The job had completed or been cancelled: the violation is on record, the state stands.",
  ALREADY_POISONED: "The job was poisoned before: nothing changed.",
});

export const StepOutcomeEnum = enumType("StepOutcome", "How a step stands.", {
  STARTED: "It begins.",
  SUCCEEDED: "It ended well.",
  FAILED: "It ended badly; the run goes on.",
});

export const ValidationVerdictEnum = enumType(
  "ValidationVerdict",
  "What is said of outputs that await validation (section 6).",
  VALIDATION_VERDICTS,
);

export const ReviewDecisionEnum = enumType(
  "ReviewDecision",
  "What a person decides on outputs (section 6).",
  REVIEW_DECISIONS,
);

export const SensitivityEnum = enumType("Sensitivity", "How sensitive a source is.", {
  LOW: "Anybody may see it.",
  MEDIUM: "Meant for the inside.",
  HIGH: "Must not leave.",
  UNKNOWN: "Nobody has said; treated as high where it matters.",
});

export const AiJobChangeKindEnum = enumType("AiJobChangeKind", "What a live payload is (section 10).", {
  SNAPSHOT: "The job as it was when the subscription began.",
  EVENT: "A change.",
});

export const QuotaResourceEnum = enumType("QuotaResource", "What a quota counts (section 6).", {
  TOKENS: "Tokens that workers reported in the window. Used up, it refuses submits and starts.",
  JOBS: "Jobs submitted in the window. Used up, it refuses submits.",
  ACTIVE_JOBS: "Jobs that are RUNNING, AWAITING_VALIDATION or AWAITING_USER now. Used up, it refuses starts.",
} satisfies Described<db.QuotaResource>);
