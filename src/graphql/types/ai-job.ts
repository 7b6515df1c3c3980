import { type GraphQLResolveInfo, isObjectType } from "graphql";
import type { AiJob as Job } from "../../db/generated/client/client.ts";
import type { WaitsFor } from "../../db/generated/client/enums.ts";
import { isJobField, JOB_FIELDS, type JobField, METRIC_NAMES } from "../../db/job-columns.ts";
import { entityRefsOf } from "../../jobs/access-mode.ts";
import type { LabelOfJob } from "../../jobs/labels.ts";
import { plannedOperationsOf } from "../../jobs/planned-operations.ts";
import { uuidOrNil } from "../../uuid.ts";
import { builder } from "../builder.ts";
import { namesBelow } from "../connection.ts";
import {
  AccessModeEnum,
  JobKindEnum,
  JobStateEnum,
  ModelTierEnum,
  OperationTypeEnum,
  SafetyModeEnum,
  WaitsForEnum,
} from "../enums.ts";
import { toNode } from "../reads.ts";
import { JobMetrics } from "./job-metrics.ts";
import { Progress, progressOfJob } from "./progress.ts";

const EntityRef = builder.objectRef<ReturnType<typeof entityRefsOf>[number]>("EntityRef").implement({
  description: "An entity outside this server that a job reads or writes (section 3).",
  fields: (t) => ({
    entityKind: t.exposeString("entityKind", { description: "The kind of entity, such as `document`." }),
    entityId: t.exposeString("entityId", { description: "The entity's id in the system that owns it." }),
    selector: t.exposeString("selector", {
      nullable: true,
      description: "The part of the entity; null for the whole entity.",
    }),
  }),
});

const PlannedOperation = builder
  .objectRef<ReturnType<typeof plannedOperationsOf>[number]>("PlannedOperation")
  .implement({
    description: "An operation that a job intends to do (section 3).",
    fields: (t) => ({
      opType: t.expose("opType", { type: OperationTypeEnum, description: "What the operation does to its target." }),
      target: t.expose("target", { type: EntityRef, description: "The entity that the operation is about." }),
      description: t.exposeString("description", { nullable: true, description: "An explanation for human readers." }),
    }),
  });

const Label = builder.objectRef<LabelOfJob>("Label").implement({
  description: "A label of a job: what its submitter finds it by (section 14).",
  fields: (t) => ({
    key: t.exposeString("key", { description: "What the label is about; a job has each key once." }),
    value: t.exposeString("value", { description: "Any text of up to 200 characters; it may be empty." }),
  }),
});

export const AiJob = builder.node(builder.objectRef<Job>("AiJob"), {
  extensions: { permission: "JOBS_READ" },
  id: { resolve: ({ jobId }) => jobId, description: "Global id (Relay)." },
  loadWithoutCache: async (id, { reads, viewer: { workspaceId } }, info) =>
    toNode(await reads.job({ workspaceId, id: uuidOrNil(id) }, jobFieldsOf(namesBelow(info), info))),
  description:
    "A durable, capability-scoped unit of AI work with a stable id; it outlives every attempt to run it (section 3).",
  fields: (t) => ({
    jobId: t.expose("jobId", { type: "UUID", description: "The job's id: a UUIDv7, so ids sort by age." }),
    workspaceId: t.expose("workspaceId", { type: "UUID", description: "The workspace that the job belongs to." }),
    traceId: t.expose("traceId", { type: "UUID", description: "The id shared by all jobs of the job's tree." }),
    workflowRunId: t.expose("workflowRunId", {
      type: "UUID",
      nullable: true,
      description: "The id of the latest run; null before the first.",
    }),
    jobKind: t.expose("jobKind", { type: JobKindEnum, description: "The kind of work." }),
    state: t.expose("state", { type: JobStateEnum, description: "The state of the job (section 4)." }),
    statusReason: t.exposeString("statusReason", {
      description:
        "Why the job is in this state; machine-readable, such as `poisoned: prompt_injection`, and never empty.",
    }),
    errorMessage: t.exposeString("errorMessage", {
      nullable: true,
      description: "What went wrong, for human readers; null if nothing did.",
    }),
    protocolId: t.exposeString("protocolId", { description: "The protocol that jobInputs follows." }),
    profileId: t.exposeString("profileId", {
      description: "A profile name of the client's own, without meaning to the server.",
    }),
    capabilityProfileId: t.exposeString("capabilityProfileId", {
      description: "The capability profile that must suffice for the job (section 8).",
    }),
    accessMode: t.expose("accessMode", {
      type: AccessModeEnum,
      description: "What the job may do to entities outside this server (section 6).",
    }),
    safetyMode: t.expose("safetyMode", { type: SafetyModeEnum, description: "How careful the worker should be." }),
    modelTier: t.expose("modelTier", {
      type: ModelTierEnum,
      description: "Where the job's model runs; it never changes.",
    }),
    entityRefs: t.field({
      type: [EntityRef],
      description: "The entities that the job reads or may write.",
      resolve: (job) => [...entityRefsOf(job)],
    }),
    plannedOperations: t.field({
      type: [PlannedOperation],
      description: "The operations that the job intends to do.",
      resolve: (job) => [...plannedOperationsOf(job)],
    }),
    metrics: t.field({
      type: JobMetrics,
      description: "What the job has used so far [HSK-JOB-101] (section 3).",
      resolve: (job) => job,
    }),
    jobInputs: t.expose("jobInputs", { type: "JSON", nullable: true, description: "The inputs from the submit." }),
    jobOutputs: t.expose("jobOutputs", {
      type: "JSON",
      nullable: true,
      description:
        "The outputs from the worker; null except in AWAITING_VALIDATION, AWAITING_USER, COMPLETED, COMPLETED_WITH_ISSUES.",
    }),
    issues: t.exposeStringList("issues", { description: "The issues that the worker reported with the outputs." }),
    priority: t.exposeInt("priority", { description: "Jobs with a higher priority are claimed first." }),
    runAfter: t.expose("runAfter", {
      type: "DateTime",
      nullable: true,
      description: "The job is not due before this time; null if it is due at once.",
    }),
    attempt: t.exposeInt("attempt", {
      description: "How often the job has been claimed or started; 0 before the first run.",
    }),
    maxAttempts: t.exposeInt("maxAttempts", { description: "How many attempts the retry policy may make." }),
    tokenBudget: t.expose("tokenBudget", {
      type: "SafeInt",
      nullable: true,
      description: "The tokens that the job may use; null if there is no limit.",
    }),
    costMicros: t.expose("costMicros", {
      type: "SafeInt",
      description:
        "What the job's calls of models have cost, in millionths of the deployment's currency (COST_CURRENCY); it only grows " +
        "(section 14).",
    }),
    costBudgetMicros: t.expose("costBudgetMicros", {
      type: "SafeInt",
      nullable: true,
      description: "The most that the job may cost, in the same millionths; null if there is no limit.",
    }),
    idempotencyKey: t.exposeString("idempotencyKey", {
      nullable: true,
      description: "The idempotency key from the submit; null if there was none.",
    }),
    labels: t.field({
      type: [Label],
      description: "The labels of the job, by key: those of its submit, or its parent's (section 14).",
      resolve: async ({ workspaceId, jobId: id, labelCount }, _args, { reads }) =>
        labelCount === 0 ? [] : [...(await reads.labelsOfJob({ workspaceId, id }))],
    }),
    submittedBy: t.exposeString("submittedBy", {
      description:
        "The principal that submitted the job: `key:<id>`, `jwt:<sub>`, `operator`, or `anonymous` on a server without auth (section 11).",
    }),
    version: t.exposeInt("version", {
      description: "The number of the job's latest change, from 1; each version has one event.",
    }),
    createdAt: t.expose("createdAt", { type: "DateTime", description: "When the job was submitted." }),
    updatedAt: t.expose("updatedAt", { type: "DateTime", description: "When the job last changed." }),
    waitsFor: t.field({
      type: WaitsForEnum,
      nullable: true,
      description:
        "What the job waits for (section 13); null where it waits for nothing but a worker, or is not waiting.",
      resolve: waitOf,
    }),
    progress: t.field({
      type: Progress,
      nullable: true,
      description:
        "The last progress that a worker reported (section 13); null where the latest run has reported none, and after a poisoning. " +
        "Progress alone changes a job at most once a second.",
      resolve: progressOfJob,
    }),
    endedAt: t.expose("endedAt", {
      type: "DateTime",
      nullable: true,
      description:
        "When the job completed, failed, was cancelled or poisoned; null until then, and again after a retry.",
    }),
    completedAt: t.expose("completedAt", {
      type: "DateTime",
      nullable: true,
      description: "When the job entered a terminal state; null until then.",
    }),
  }),
});

/** A time is waited for until it has come: then the job waits for a worker. */
function waitOf({ state, waitsFor, runAfter }: Job): WaitsFor | null {
  const isAhead = state === "QUEUED" && runAfter !== null && runAfter.getTime() > Date.now();
  return waitsFor ?? (isAhead ? "TIME" : null);
}

/** The columns that a field of AiJob is resolved from, if they are not the one column of the same name. */
const SOURCE_COLUMNS: ReadonlyMap<string, readonly JobField[]> = new Map<string, readonly JobField[]>([
  ["id", ["jobId"]],
  ["metrics", METRIC_NAMES],
  ["waitsFor", ["state", "waitsFor", "runAfter"]],
  ["progress", ["progressFraction", "progressMessage", "progressAt"]],
  ["userInputRequest", ["workspaceId", "workflowRunId", "waitsFor"]],
  ["labels", ["workspaceId", "jobId", "labelCount"]],
  // Fields that lead to other types: they need the id to look up and the job's workspace.
  ["parentJob", ["workspaceId", "parentJobId"]],
  ["workflowRun", ["workspaceId", "workflowRunId"]],
  ["workflowRuns", ["workspaceId", "jobId"]],
  ["events", ["workspaceId", "jobId"]],
  ["children", ["workspaceId", "jobId"]],
  ["modelUsage", ["workspaceId", "jobId"]],
  ["startedAt", ["workspaceId", "jobId"]],
  ["queuedMs", ["workspaceId", "jobId"]],
  ["runMs", ["workspaceId", "jobId"]],
]);

/**
 * The columns of a job that the selected fields need, and those of its position in a list. If one of the fields is
 * missing from `SOURCE_COLUMNS`, the result is all columns: slow, but correct.
 * @param names the names of all selected fields, of AiJob and of any other type (`namesBelow`).
 * @returns columns in the order of `JOB_FIELDS`; the same array for the same set of names.
 */
export function jobFieldsOf(names: ReadonlySet<string>, info: GraphQLResolveInfo): readonly JobField[] {
  const fields = FIELDS_BY_NAMES.get(names) ?? sourceColumns(names, info);
  FIELDS_BY_NAMES.set(names, fields);
  return fields;
}

/** A cache. `namesBelow` returns the same set for the same field of a document, so the set itself is the key. */
const FIELDS_BY_NAMES = new WeakMap<ReadonlySet<string>, readonly JobField[]>();

function sourceColumns(names: ReadonlySet<string>, { schema }: GraphQLResolveInfo): readonly JobField[] {
  const type = schema.getType("AiJob");
  const jobFields = isObjectType(type) ? type.getFields() : {};
  const needed = new Set<JobField>(["jobId", "createdAt"]);
  for (const name of names) {
    const columns = SOURCE_COLUMNS.get(name) ?? (isJobField(name) ? [name] : undefined);
    if (!columns && Object.hasOwn(jobFields, name)) return JOB_FIELDS;
    for (const column of columns ?? []) needed.add(column);
  }
  return JOB_FIELDS.filter((field) => needed.has(field));
}
