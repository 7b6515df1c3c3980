import { randomUUID } from "node:crypto";
import { z } from "zod";

/** A workspace with one of everything, made over HTTP by its own principal, and the names of all that is in it. */

/** Who asks: a credential, and the workspace that it picks, where it is of the whole deployment. */
export interface Caller {
  readonly authorization: string;
  readonly workspaceId?: string;
}

export interface Reply {
  readonly status: number;
  readonly body: string;
}

/** Posts an operation. */
export async function ask(url: string, caller: Caller, query: string, variables: object = {}): Promise<Reply> {
  const response = await fetch(url, {
    method: "POST",
    headers: headersOf(caller),
    body: JSON.stringify({ query, variables }),
  });
  return { status: response.status, body: await response.text() };
}

export function headersOf({ authorization, workspaceId }: Caller): Record<string, string> {
  return {
    "content-type": "application/json",
    accept: "application/graphql-response+json",
    authorization,
    ...(workspaceId ? { "x-workspace-id": workspaceId } : {}),
  };
}

/** A job, and the run that it has or had. */
export interface FilledJob {
  readonly jobId: string;
  readonly traceId: string;
  readonly idempotencyKey: string;
  readonly run: FilledRun | undefined;
}

export interface FilledRun {
  readonly workflowRunId: string;
  readonly leaseToken: string;
  readonly reportId: string;
}

export interface FilledWorkspace {
  readonly workspaceId: string;
  readonly admin: Caller;
  /** The word that stands in every text of the workspace. */
  readonly word: string;
  readonly jobs: readonly FilledJob[];
  readonly quotaId: string;
  readonly apiKeyIds: readonly string[];
  /** The global ids of its objects, by type. */
  readonly globalIds: Readonly<Record<string, readonly string[]>>;
  /** The cursors of its lists, by field of Query. */
  readonly cursors: Readonly<Record<string, readonly string[]>>;
  /** Cursors of the event log. */
  readonly logCursors: readonly string[];
}

/** The names that a workspace's people and programs choose. */
export function namesIn(word: string) {
  return {
    protocolId: `protocol of ${word}`,
    profileId: `profile of ${word}`,
    workerId: `worker of ${word}`,
    entityId: `entity of ${word}`,
    nodeId: `node of ${word}`,
    sourceId: `source of ${word}`,
  };
}

/** @param admin a principal with every permission in the workspace. */
export async function fillWorkspace(
  url: string,
  admin: Caller,
  workspaceId: string,
  word: string,
): Promise<FilledWorkspace> {
  const names = namesIn(word);
  const { protocolId, profileId, workerId, entityId, nodeId, sourceId } = names;
  const result = async <Shape extends z.ZodType>(field: string, input: object, fields: string, shape: Shape) => {
    const type = `${field.charAt(0).toUpperCase()}${field.slice(1)}`;
    const query = `mutation ($input: ${type}Input!) { ${field}(input: $input) { ... on ${type}Payload { ${fields} } ... on Error { message } } }`;
    const { body } = await ask(url, admin, query, { input });
    const answer = parse(z.object({ data: z.record(z.string(), z.unknown()) }), JSON.parse(body));
    return parse(shape, answer.data[field]);
  };
  const submit = async (more: object = {}): Promise<FilledJob> => {
    const idempotencyKey = `key of ${word} ${randomUUID()}`;
    const { job } = await result(
      "submitAiJob",
      {
        jobKind: "DOC_EDIT",
        protocolId,
        profileId,
        jobInputs: { text: `inputs of ${word}` },
        entityRefs: [{ entityKind: "document", entityId }],
        idempotencyKey,
        ...more,
      },
      "job { jobId traceId }",
      z.object({ job: z.object({ jobId: z.string(), traceId: z.string() }) }),
    );
    return { ...job, idempotencyKey, run: undefined };
  };
  const start = async (more: object = {}): Promise<FilledJob & { readonly run: FilledRun }> => {
    const job = await submit(more);
    const { claim } = await result(
      "startWorkflow",
      { jobId: job.jobId, workerId, leaseSeconds: 900 },
      "claim { workflowRun { workflowRunId } leaseToken }",
      z.object({
        claim: z.object({ workflowRun: z.object({ workflowRunId: z.string() }), leaseToken: z.string() }),
      }),
    );
    const run = {
      workflowRunId: claim.workflowRun.workflowRunId,
      leaseToken: claim.leaseToken,
      reportId: randomUUID(),
    };
    const steps = [
      { outcome: "STARTED", inputPayload: { text: `input of ${word}` } },
      { outcome: "SUCCEEDED", outputPayload: { text: `output of ${word}` } },
    ];
    for (const [index, step] of steps.entries())
      await result(
        "advanceWorkflow",
        {
          ...run,
          reportId: index === 0 ? run.reportId : randomUUID(),
          step: { nodeId, nodeType: "tool", ...step },
          retrievedSnippets: [{ sourceId, content: `snippet of ${word}` }],
        },
        "node { nodeId }",
        z.object({ node: z.object({ nodeId: z.string() }) }),
      );
    const { reportId: _none, ...proof } = run;
    const chunks = [{ sequence: 1, text: `partial output of ${word}` }];
    const appended = z.object({ nextSequence: z.number() });
    await result("appendOutput", { ...proof, chunks }, "nextSequence", appended);
    return { ...job, run };
  };
  const done = z.object({ job: z.object({ state: z.string() }) });
  const finished = z.object({ results: z.array(z.object({ job: z.object({ state: z.string() }) })) });
  const complete = (job: { readonly run: FilledRun }, more: object = {}) =>
    result(
      "completeWorkflows",
      { completions: [{ ...job.run, reportId: randomUUID(), jobOutputs: { text: `outputs of ${word}` }, ...more }] },
      "results { ... on CompletedWorkflow { job { state } } ... on Error { message } }",
      finished,
    );

  const queued = await submit();
  const alsoQueued = await submit();
  const running = await start();
  const child = await submit({ parentJobId: running.jobId });
  const failed = await start({ parentJobId: running.jobId });
  const awaitingValidation = await start();
  await complete(awaitingValidation, { needsValidation: true });
  const awaitingUser = await start();
  await complete(awaitingUser, { needsValidation: true });
  await result("resolveValidation", { jobId: awaitingUser.jobId, verdict: "NEEDS_USER" }, "job { state }", done);
  const completed = await start();
  await complete(completed, { issues: [`an issue of ${word}`] });
  await result(
    "failWorkflows",
    { failures: [{ ...failed.run, reportId: randomUUID(), errorMessage: `failure of ${word}`, retryable: false }] },
    "results { ... on FailedWorkflow { job { state } } ... on Error { message } }",
    finished,
  );
  const cancelled = await submit();
  await result(
    "cancelAiJobs",
    { filter: { idempotencyKey: cancelled.idempotencyKey }, reason: `reason of ${word}` },
    "bulkAction { id }",
    z.object({ bulkAction: z.object({ id: z.string() }) }),
  );
  const poisoned = await start();
  await result(
    "reportSecurityViolation",
    {
      jobId: poisoned.jobId,
      violationType: "EXPORT",
      guardName: `guard of ${word}`,
      trigger: `trigger of ${word}`,
      description: `description of ${word}`,
      sourceId,
    },
    "job { state }",
    done,
  );
  const { quota } = await result(
    "setQuota",
    { resource: "JOBS", max: 1_000_000, windowSeconds: 3600 },
    "quota { quotaId }",
    z.object({ quota: z.object({ quotaId: z.string() }) }),
  );
  for (const name of [`one key of ${word}`, `another key of ${word}`])
    await result("createApiKey", { name, roles: ["VIEWER"] }, "secret", z.object({ secret: z.string() }));
  return {
    workspaceId,
    admin,
    word,
    jobs: [
      running,
      child,
      failed,
      queued,
      alsoQueued,
      awaitingValidation,
      awaitingUser,
      completed,
      cancelled,
      poisoned,
    ],
    quotaId: quota.quotaId,
    ...(await namesOfRows(url, admin)),
  };
}

function parse<Shape extends z.ZodType>(shape: Shape, value: unknown): z.infer<Shape> {
  const parsed = shape.safeParse(value);
  if (!parsed.success) throw new Error(`This was answered: ${JSON.stringify(value)}`);
  return parsed.data;
}

const page = z.object({
  nodes: z.array(z.looseObject({ id: z.string() })),
  pageInfo: z.object({ startCursor: z.string(), endCursor: z.string() }),
});
const rows = z.object({
  data: z.object({
    aiJobs: page.extend({ feedCursor: z.string() }),
    workflowRuns: page.extend({
      nodes: z.array(z.object({ id: z.string(), steps: z.array(z.object({ id: z.string() })) })),
    }),
    flightRecorderEvents: page.extend({ nodes: z.array(z.object({ id: z.string(), cursor: z.string() })) }),
    bulkActions: page,
    apiKeys: page.extend({ nodes: z.array(z.object({ id: z.string(), apiKeyId: z.string() })) }),
    workers: page.omit({ nodes: true }),
    quotas: z.array(z.object({ id: z.string() })),
    viewer: z.object({ workspace: z.object({ id: z.string(), workspaceId: z.string() }) }),
  }),
});

/** Reads the ids and cursors of all rows. */
async function namesOfRows(url: string, admin: Caller) {
  const lists = `{
    aiJobs { nodes { id } feedCursor ${PAGE_INFO} }
    workflowRuns { nodes { id steps { id } } ${PAGE_INFO} }
    flightRecorderEvents { nodes { id cursor } ${PAGE_INFO} }
    bulkActions { nodes { id } ${PAGE_INFO} }
    apiKeys { nodes { id apiKeyId } ${PAGE_INFO} }
    workers { ${PAGE_INFO} }
    quotas { id }
    viewer { workspace { id workspaceId } }
  }`;
  const { body } = await ask(url, admin, lists);
  const { data } = parse(rows, JSON.parse(body));
  const { aiJobs, workflowRuns, flightRecorderEvents, bulkActions, apiKeys, workers, quotas, viewer } = data;
  const connections = { aiJobs, workflowRuns, flightRecorderEvents, bulkActions, apiKeys, workers };
  const idsOf = (objects: readonly { readonly id: string }[]) => objects.map(({ id }) => id);
  return {
    apiKeyIds: apiKeys.nodes.map(({ apiKeyId }) => apiKeyId),
    globalIds: {
      AiJob: idsOf(aiJobs.nodes),
      WorkflowRun: idsOf(workflowRuns.nodes),
      NodeExecution: idsOf(workflowRuns.nodes.flatMap(({ steps }) => steps)),
      FlightRecorderEvent: idsOf(flightRecorderEvents.nodes),
      BulkAction: idsOf(bulkActions.nodes),
      ApiKey: idsOf(apiKeys.nodes),
      Quota: idsOf(quotas),
      Workspace: [viewer.workspace.id],
    },
    cursors: {
      ...Object.fromEntries(
        Object.entries(connections).map(([name, { pageInfo }]) => [name, [pageInfo.startCursor, pageInfo.endCursor]]),
      ),
      // Only principals of the whole deployment have that list.
      workspaces: [Buffer.from(JSON.stringify([viewer.workspace.workspaceId])).toString("base64url")],
    },
    logCursors: [aiJobs.feedCursor, ...flightRecorderEvents.nodes.slice(0, 3).map(({ cursor }) => cursor)],
  };
}

const PAGE_INFO = "pageInfo { startCursor endCursor }";
