import fc from "fast-check";
import { submitAiJob } from "../../../src/jobs/submit.ts";
import { humanFor } from "../../../src/log/event.ts";
import { aSubmit } from "../../support/engine.ts";
import { HOSTILE } from "../../support/jobs.ts";
import { type Draw, mostly, pick, pickFrom } from "../draw.ts";
import { theJob } from "../payload.ts";
import { admitByQuotas } from "../quotas.ts";
import { LATER, type Real } from "../real.ts";
import {
  type Answer,
  deny,
  findNamedJob,
  illegal,
  isRefusal,
  missingCapability,
  NOT_FOUND,
  type Refusal,
  requirementOf,
} from "../rules.ts";
import { mutation } from "../step.ts";
import {
  type Content,
  change,
  hasEnded,
  type Job,
  type Label,
  noMetrics,
  person,
  type Submit,
  type World,
} from "../world.ts";

/** Section 6: submits and idempotency. A submit that a quota refuses stores nothing. */
export const submit = mutation<Submit>("submit", { expected, actual });

function expected(world: World, input: Submit): Answer {
  const need = requirementOf(input.kind);
  const profile = input.profile ?? need.profile;
  if (!world.profiles.has(profile)) return { code: "UNKNOWN_CAPABILITY" };
  const earlier =
    input.key === null
      ? undefined
      : world.jobs.find((job) => isIn(job, input.workspace) && job.submit.key === input.key);
  if (earlier) {
    const same = JSON.stringify(contentOf(earlier.submit)) === JSON.stringify(contentOf(input));
    return same ? { job: earlier.number, deduplicated: true } : { code: "IDEMPOTENCY_CONFLICT" };
  }
  const parent = input.parent === null ? null : parentFor(world, input.parent, input.workspace);
  if (parent && isRefusal(parent)) return parent;
  const [refusal] = admitByQuotas(world, "JOBS", [{ profile, submit: input }]);
  if (refusal) return refusal;
  const job = newJob(world.jobs.length, profile, parent, input);
  world.jobs.push(job);
  const missing = missingCapability(world, job);
  change(job, "JOB_SUBMITTED", person(input.by), {}, submitPayload(job), missing === null ? need.capability : null);
  return missing === null ? { job: job.number, deduplicated: false } : deny(job, missing, "submit");
}

/** What tells a repeated submit from another one: whoever sends it, in whatever order its labels are. */
function contentOf({ by: _by, labels, ...content }: Submit) {
  return { ...content, labels: labels?.toSorted(inKeyOrder) };
}

const inKeyOrder = (one: Label, other: Label): number => (one.key < other.key ? -1 : 1);

function submitPayload({ submit: { kind }, profile, parent }: Job) {
  const about = { job_kind: kind.toLowerCase(), protocol_id: "test", capability_profile_id: profile };
  return parent ? { ...about, parent_job_id: theJob(parent) } : about;
}

const isIn = ({ submit }: Job, workspace: number): boolean => submit.workspace === workspace;

/** A parent must be in the same workspace and not have ended. */
function parentFor(world: World, number: number, workspace: number): Job | Refusal {
  const job = world.jobs[number];
  if (!job || !isIn(job, workspace)) return NOT_FOUND;
  const parent = findNamedJob(world, number);
  return !isRefusal(parent) && hasEnded(parent) ? illegal(parent, "QUEUED") : parent;
}

function newJob(number: number, profile: string, parent: Job | null, input: Submit): Job {
  return {
    number,
    submit: input,
    profile,
    parent,
    labels: input.labels?.toSorted(inKeyOrder) ?? parent?.labels ?? [],
    state: "QUEUED",
    reason: "submitted",
    hasError: false,
    runAfter: input.later ? "ahead" : "none",
    preferred: null,
    unchargedAttempts: 0,
    progress: null,
    hasJustSaid: false,
    releases: 0,
    waitsFor: null,
    version: 0,
    attempt: 0,
    metrics: noMetrics(),
    cost: 0,
    outputs: null,
    issues: [],
    runs: [],
    events: [],
  };
}

const TEXTS = { none: { pages: 3 }, clean: { text: "The quarterly report." }, hostile: { text: HOSTILE } };

async function actual(real: Real, input: Submit): Promise<object> {
  const result = await submitAiJob(
    real.engine,
    real.workspaceId(input.workspace),
    humanFor(input.by),
    aSubmit({
      jobKind: input.kind,
      capabilityProfileId: input.profile,
      accessMode: input.accessMode,
      entityRefs: input.scope.map((entityId) => ({ entityKind: "document", entityId })),
      jobInputs: input.inputs === "none" ? null : TEXTS[input.inputs],
      parentJobId: input.parent === null ? null : real.jobId(input.parent),
      priority: input.priority,
      maxAttempts: input.maxAttempts,
      tokenBudget: input.budget,
      costBudgetMicros: input.costBudget,
      runAfter: input.later ? LATER : null,
      idempotencyKey: input.key,
      labels: input.labels,
    }),
  );
  return real.answer(result, ({ job, deduplicated }) => ({ job: real.numberOf(job), deduplicated }));
}

/** The default submit. */
export const A_SUBMIT: Submit = {
  workspace: 0,
  kind: "DOC_SUMMARIZE",
  profile: null,
  accessMode: "ANALYSIS_ONLY",
  scope: [],
  inputs: "none",
  parent: null,
  priority: 0,
  maxAttempts: 3,
  budget: null,
  costBudget: null,
  later: false,
  key: null,
  labels: null,
  by: "anonymous",
};

const LABELS: readonly (readonly Label[])[] = [
  [{ key: "team", value: "search" }],
  [{ key: "env", value: "" }],
  [
    { key: "team", value: "search" },
    { key: "env", value: "" },
  ],
  [
    { key: "env", value: "" },
    { key: "team", value: "search" },
  ],
];
const HOSTILE_LABELS: readonly Label[] = [{ key: "team", value: HOSTILE }];
const by = fc.constantFrom("anonymous", "key:1");

const newSubmit: fc.Arbitrary<Omit<Submit, "parent">> = fc.record({
  workspace: fc.constantFrom(0, 0, 0, 0, 1, 2),
  kind: fc.constantFrom("DOC_SUMMARIZE", "DOC_SUMMARIZE", "DOC_EDIT", "TERMINAL_EXEC"),
  profile: fc.constantFrom(...mostly(40, null, "default", "terminal", "no-such-profile")),
  accessMode: fc.constantFrom("ANALYSIS_ONLY", "APPLY_SCOPED", "PREVIEW_ONLY"),
  scope: fc.subarray(["d-1", "d-2"]),
  inputs: fc.constantFrom(...mostly<Content>(18, "clean", "none", "hostile")),
  priority: fc.constantFrom(0, 0, 1),
  maxAttempts: fc.constantFrom(3, 2, 1),
  budget: fc.constantFrom(...mostly(4, null, 2 ** 53 - 1, 50, 100)),
  costBudget: fc.constantFrom(...mostly(4, null, 2 ** 53 - 1, 2_000)),
  later: fc.constantFrom(...mostly(9, false, true)),
  key: fc.constantFrom(...mostly(12, null, "k-1", "k-2")),
  labels: fc.constantFrom(...mostly<Submit["labels"]>(12, null, ...LABELS, ...LABELS, HOSTILE_LABELS)),
  by,
});

const parentPick = fc.option(pick, { freq: 3 });

/** A new submit, sometimes as a child; or an earlier one again, perhaps by somebody else. */
export const submits: fc.Arbitrary<Draw> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(newSubmit, parentPick).map(
      ([input, picked]): Draw =>
        ({ jobs }) => {
          const parent = picked && pickFrom(jobs, picked, (job) => !hasEnded(job) && isIn(job, input.workspace));
          return submit({ ...input, parent });
        },
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(pick, by).map(
      ([picked, again]): Draw =>
        ({ jobs }) => {
          const earlier = jobs[pickFrom(jobs, picked, ({ submit: { key } }) => key !== null) ?? -1];
          return earlier ? submit({ ...earlier.submit, by: again }) : null;
        },
    ),
  },
);
