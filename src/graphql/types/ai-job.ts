import { type GraphQLResolveInfo, isObjectType } from "graphql";
import type { AiJob as Job } from "../../db/generated/client/client.ts";
import { isJobField, JOB_FIELDS, type JobField, METRIC_NAMES } from "../../db/job-columns.ts";
import { entityRefsOf } from "../../jobs/access-mode.ts";
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
} from "../enums.ts";
import { toNode } from "../reads.ts";
import { JobMetrics } from "./job-metrics.ts";

const EntityRef = builder.objectRef<ReturnType<typeof entityRefsOf>[number]>("EntityRef").implement({
  description: "Something outside this server that a job reads or writes (section 3).",
  fields: (t) => ({
    entityKind: t.exposeString("entityKind", { description: "What sort of thing, such as `document`." }),
    entityId: t.exposeString("entityId", { description: "Which one, in the words of the system that has it." }),
    selector: t.exposeString("selector", { nullable: true, description: "Which part of it; all of it where null." }),
  }),
});

const PlannedOperation = builder
  .objectRef<ReturnType<typeof plannedOperationsOf>[number]>("PlannedOperation")
  .implement({
    description: "What a job intends to do (section 3).",
    fields: (t) => ({
      opType: t.expose("opType", { type: OperationTypeEnum, description: "What is done to the target." }),
      target: t.expose("target", { type: EntityRef, description: "What it is done to." }),
      description: t.exposeString("description", { nullable: true, description: "For people." }),
    }),
  });

export const AiJob = builder.node(builder.objectRef<Job>("AiJob"), {
  id: { resolve: ({ jobId }) => jobId, description: "Global id (Relay)." },
  loadWithoutCache: async (id, { reads, viewer: { workspaceId } }, info) =>
    toNode(await reads.job({ workspaceId, id: uuidOrNil(id) }, jobFieldsOf(namesBelow(info), info))),
  description:
    "A durable, capability-scoped unit of AI work with a stable id; it outlives every attempt to run it (section 3).",
  fields: (t) => ({
    jobId: t.expose("jobId", { type: "UUID", description: "The job's own id: a UUIDv7, so ids sort by age." }),
    workspaceId: t.expose("workspaceId", { type: "UUID", description: "The workspace that the job belongs to." }),
    traceId: t.expose("traceId", { type: "UUID", description: "Groups the job with everything that it led to." }),
    workflowRunId: t.expose("workflowRunId", {
      type: "UUID",
      nullable: true,
      description: "The latest run; null until the first.",
    }),
    jobKind: t.expose("jobKind", { type: JobKindEnum, description: "What sort of work it is." }),
    state: t.expose("state", { type: JobStateEnum, description: "Where it stands (section 4)." }),
    statusReason: t.exposeString("statusReason", {
      description: "Why it stands there, machine-readable, such as `poisoned: prompt_injection`; never empty.",
    }),
    errorMessage: t.exposeString("errorMessage", { nullable: true, description: "For people: what went wrong." }),
    protocolId: t.exposeString("protocolId", { description: "The protocol that the job's inputs follow." }),
    profileId: t.exposeString("profileId", { description: "The client's own profile for such jobs." }),
    capabilityProfileId: t.exposeString("capabilityProfileId", {
      description: "The capability profile that the server judges it by (section 8).",
    }),
    accessMode: t.expose("accessMode", { type: AccessModeEnum, description: "What it may do to entities." }),
    safetyMode: t.expose("safetyMode", { type: SafetyModeEnum, description: "How careful its worker should be." }),
    modelTier: t.expose("modelTier", { type: ModelTierEnum, description: "Where its model runs; never changes." }),
    entityRefs: t.field({
      type: [EntityRef],
      description: "What it reads or may write.",
      resolve: (job) => [...entityRefsOf(job)],
    }),
    plannedOperations: t.field({
      type: [PlannedOperation],
      description: "What it intends to do.",
      resolve: (job) => [...plannedOperationsOf(job)],
    }),
    metrics: t.field({
      type: JobMetrics,
      description: "What it has cost so far [HSK-JOB-101].",
      resolve: (job) => job,
    }),
    jobInputs: t.expose("jobInputs", { type: "JSON", nullable: true, description: "What it was submitted with." }),
    jobOutputs: t.expose("jobOutputs", {
      type: "JSON",
      nullable: true,
      description: "What came of it; null but in AWAITING_VALIDATION, AWAITING_USER, COMPLETED, COMPLETED_WITH_ISSUES.",
    }),
    issues: t.exposeStringList("issues", { description: "What its worker noted on completing it." }),
    priority: t.exposeInt("priority", { description: "Higher is taken first." }),
    runAfter: t.expose("runAfter", {
      type: "DateTime",
      nullable: true,
      description: "Not to be taken before this moment; null where it may be taken at once.",
    }),
    attempt: t.exposeInt("attempt", { description: "How often it was taken; 0 until the first run." }),
    maxAttempts: t.exposeInt("maxAttempts", { description: "How often it may be taken by policy." }),
    tokenBudget: t.expose("tokenBudget", {
      type: "SafeInt",
      nullable: true,
      description: "The tokens that it may cost; null where there is no limit.",
    }),
    idempotencyKey: t.exposeString("idempotencyKey", { nullable: true, description: "The key of its submit." }),
    version: t.exposeInt("version", { description: "Raised by one with every change; each version has one event." }),
    createdAt: t.expose("createdAt", { type: "DateTime", description: "When it was submitted." }),
    updatedAt: t.expose("updatedAt", { type: "DateTime", description: "When it last changed." }),
    completedAt: t.expose("completedAt", {
      type: "DateTime",
      nullable: true,
      description: "When it reached a state that nothing leaves.",
    }),
  }),
});

/** The columns that a field of AiJob is made of, where they are not the one of its own name. */
const MADE_OF: ReadonlyMap<string, readonly JobField[]> = new Map<string, readonly JobField[]>([
  ["id", ["jobId"]],
  ["metrics", METRIC_NAMES],
  // What belongs to a job is found by an id, in the job's workspace.
  ["parentJob", ["workspaceId", "parentJobId"]],
  ["workflowRun", ["workspaceId", "workflowRunId"]],
  ["workflowRuns", ["workspaceId", "jobId"]],
  ["events", ["workspaceId", "jobId"]],
]);

/**
 * The columns of a job that fields of these names need, its place in a list included. A field of which nobody has said
 * what it is made of gets every column: it is slow then, and right.
 * @param names of fields, of AiJob or of any other type.
 */
export function jobFieldsOf(names: ReadonlySet<string>, info: GraphQLResolveInfo): readonly JobField[] {
  const fields = JOB_FIELDS_OF.get(names) ?? madeOf(names, info);
  JOB_FIELDS_OF.set(names, fields);
  return fields;
}

/** What was told before: the names below a field are one object for as long as its document is kept. */
const JOB_FIELDS_OF = new WeakMap<ReadonlySet<string>, readonly JobField[]>();

function madeOf(names: ReadonlySet<string>, { schema }: GraphQLResolveInfo): readonly JobField[] {
  const type = schema.getType("AiJob");
  const ofJob = isObjectType(type) ? type.getFields() : {};
  const needed = new Set<JobField>(["jobId", "createdAt"]);
  for (const name of names) {
    const fields = isJobField(name) ? [name] : MADE_OF.get(name);
    if (!fields && Object.hasOwn(ofJob, name)) return JOB_FIELDS;
    for (const field of fields ?? []) needed.add(field);
  }
  return JOB_FIELDS.filter((field) => needed.has(field));
}
