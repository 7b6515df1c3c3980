import { type FilledRun, type FilledWorkspace, namesIn } from "./workspace.ts";

/** What of a workspace is sent for each id of the schema. A new id needs a line here, or the sweep fails with its name. */

type ValuesOf = (workspace: FilledWorkspace) => readonly string[];

/** Of what is found in the same way whatever its state some are enough: a job that runs, its child that waits, and one that failed. */
const few =
  (valuesOf: ValuesOf): ValuesOf =>
  (workspace) =>
    valuesOf(workspace).slice(0, 3);

const jobIds: ValuesOf = ({ jobs }) => jobs.map(({ jobId }) => jobId);
const keys: ValuesOf = ({ jobs }) => jobs.map(({ idempotencyKey }) => idempotencyKey);
const traceIds: ValuesOf = ({ jobs }) => jobs.map(({ traceId }) => traceId);
const workerIds: ValuesOf = ({ word }) => [namesIn(word).workerId];
const cursorsOf =
  (field: string): ValuesOf =>
  ({ cursors }) =>
    cursors[field] ?? [];
const ofRuns =
  (name: keyof FilledRun): ValuesOf =>
  ({ jobs }) =>
    jobs.flatMap(({ run }) => (run ? [run[name]] : []));
const globalIds: ValuesOf = (workspace) => Object.values(workspace.globalIds).flatMap((ids) => ids.slice(0, 2));
/** What the workspace's people and programs chose. It is no secret, and nothing is found by it from elsewhere. */
const chosen =
  (name: keyof ReturnType<typeof namesIn>): ValuesOf =>
  ({ word }) => [namesIn(word)[name]];

/** Capability profiles are of the whole deployment. */
const OF_NO_WORKSPACE = undefined;

/** No row is found by it. */
const OF_A_JOB = undefined;

/** It is looked for in the list of the workspace that asks: test/totals/usage.store.test.ts tries that of another. */
const OF_A_LIST = undefined;

/** They go together, and with the job of the run: test/identity/worker-reads.store.test.ts tries them. */
const TRIED_TOGETHER = undefined;

const filterAt = (path: string): Readonly<Record<string, ValuesOf | undefined>> => ({
  [`${path}.capabilityProfileId`]: OF_NO_WORKSPACE,
  [`${path}.idempotencyKey`]: few(keys),
  [`${path}.parentJobId`]: few(jobIds),
  [`${path}.protocolId`]: chosen("protocolId"),
  [`${path}.rootJobId`]: few(jobIds),
  [`${path}.traceId`]: few(traceIds),
  [`${path}.workerId`]: workerIds,
});

const pagesOf = (field: string): Readonly<Record<string, ValuesOf | undefined>> => ({
  [`${field}.after`]: cursorsOf(field),
  [`${field}.before`]: cursorsOf(field),
});

const reportAt = (path: string): Readonly<Record<string, ValuesOf | undefined>> => ({
  [`${path}.workflowRunId`]: ofRuns("workflowRunId"),
  [`${path}.leaseToken`]: ofRuns("leaseToken"),
  [`${path}.reportId`]: few(ofRuns("reportId")),
});

export const VALUES: Readonly<Record<string, ValuesOf | undefined>> = {
  "aiJob.jobId": few(jobIds),
  "aiJobByIdempotencyKey.idempotencyKey": few(keys),
  ...filterAt("aiJobStats.filter"),
  "aiJobUsage.labelKey": OF_A_LIST,
  "aiJobUsage.protocolId": chosen("protocolId"),
  ...pagesOf("aiJobs"),
  ...filterAt("aiJobs.filter"),
  ...pagesOf("apiKeys"),
  ...pagesOf("bulkActions"),
  ...pagesOf("flightRecorderEvents"),
  "flightRecorderEvents.filter.jobId": few(jobIds),
  "flightRecorderEvents.filter.traceId": few(traceIds),
  "node.id": globalIds,
  "nodes.ids": globalIds,
  ...pagesOf("workers"),
  "workflowRun.workflowRunId": few(ofRuns("workflowRunId")),
  ...pagesOf("workflowRuns"),
  "workflowRuns.filter.workerId": workerIds,
  ...pagesOf("workspaces"),

  ...reportAt("advanceWorkflow.input"),
  "advanceWorkflow.input.retrievedSnippets.sourceId": chosen("sourceId"),
  "advanceWorkflow.input.step.nodeId": chosen("nodeId"),
  "advanceWorkflow.input.steps.nodeId": chosen("nodeId"),
  "appendOutput.input.workflowRunId": ofRuns("workflowRunId"),
  "appendOutput.input.leaseToken": ofRuns("leaseToken"),
  "cancelAiJob.input.jobId": jobIds,
  ...filterAt("cancelAiJobs.input.filter"),
  "claimAiJobs.input.workerId": workerIds,
  ...reportAt("completeWorkflows.input.completions"),
  "completeWorkflows.input.completions.retrievedSnippets.sourceId": chosen("sourceId"),
  "completeWorkflows.input.completions.steps.nodeId": chosen("nodeId"),
  "completeWorkflows.input.completions.writtenEntities.entityId": chosen("entityId"),
  "createWorkspace.input.workspaceId": ({ workspaceId }) => [workspaceId],
  "deleteQuota.input.quotaId": ({ quotaId }) => [quotaId],
  ...reportAt("failWorkflows.input.failures"),
  ...reportAt("heartbeatWorkflows.input.heartbeats"),
  ...reportAt("releaseWorkflows.input.releases"),
  "reportSecurityViolation.input.jobId": jobIds,
  "reportSecurityViolation.input.sourceId": chosen("sourceId"),
  "reportSecurityViolation.input.workflowRunId": TRIED_TOGETHER,
  "reportSecurityViolation.input.leaseToken": TRIED_TOGETHER,
  ...reportAt("requestUserInput.input"),
  ...reportAt("reportUsage.input"),
  "resolveUserReview.input.jobId": jobIds,
  // It is of the job that is named with it, and looked at under that job's lock.
  "resolveUserReview.input.requestId": OF_A_JOB,
  "resolveValidation.input.jobId": jobIds,
  "retryAiJob.input.jobId": jobIds,
  ...filterAt("retryAiJobs.input.filter"),
  "revokeApiKey.input.apiKeyId": ({ apiKeyIds }) => apiKeyIds,
  "rotateApiKey.input.apiKeyId": ({ apiKeyIds }) => apiKeyIds,
  "setQuota.input.capabilityProfileId": OF_NO_WORKSPACE,
  "startWorkflow.input.jobId": jobIds,
  "startWorkflow.input.workerId": workerIds,
  "submitAiJob.input.capabilityProfileId": OF_NO_WORKSPACE,
  "submitAiJob.input.entityRefs.entityId": chosen("entityId"),
  "submitAiJob.input.idempotencyKey": few(keys),
  "submitAiJob.input.parentJobId": jobIds,
  "submitAiJob.input.plannedOperations.target.entityId": chosen("entityId"),
  "submitAiJob.input.profileId": chosen("profileId"),
  "submitAiJob.input.protocolId": chosen("protocolId"),
  "updateWorkspace.input.workspaceId": ({ workspaceId }) => [workspaceId],

  "aiJobChanged.after": ({ logCursors }) => logCursors,
  "aiJobChanged.jobId": few(jobIds),
  // A cursor of the log is none of an output, whosever it is.
  "aiJobOutput.after": ({ logCursors }) => logCursors,
  "aiJobOutput.jobId": few(jobIds),
  "aiJobsChanged.after": ({ logCursors }) => logCursors,
  ...filterAt("aiJobsChanged.filter"),
  "workerDirectives.after": ({ logCursors }) => logCursors,
  "workerDirectives.workerId": workerIds,
};
