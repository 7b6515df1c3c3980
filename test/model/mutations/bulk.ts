import fc from "fast-check";
import type { JobState } from "../../../src/db/generated/client/enums.ts";
import { AppError } from "../../../src/errors.ts";
import { cancelAiJobs, retryAiJobs } from "../../../src/jobs/bulk/action.ts";
import { settledItems } from "../../support/bulk.ts";
import { testSide } from "../../support/database.ts";
import { SOMEBODY } from "../../support/engine.ts";
import { type Draw, mostly } from "../draw.ts";
import { CANCELLABLE, cancelJob, checkRetryable, retryJob } from "../endings.ts";
import type { Real } from "../real.ts";
import { type Answer, INVALID_INPUT, illegal, jobPoisoned, type Refusal } from "../rules.ts";
import { mutation } from "../step.ts";
import { type Job, PERSON, type World } from "../world.ts";

interface Bulk {
  readonly workspace: number;
  readonly kind: "cancel" | "retry";
  readonly states: readonly JobState[] | null;
  readonly kinds: readonly Job["submit"]["kind"][] | null;
  /** The value of the label `team`; null for any or none. */
  readonly team: string | null;
  readonly limit: number;
}

/**
 * A bulk action on the oldest jobs that match, each decided on its own. Without states: on those that can be changed.
 */
export const bulk = mutation<Bulk>("bulk", { expected, actual });

function expected({ jobs }: World, { workspace, kind, states, kinds, team, limit }: Bulk): Answer {
  if (states === null && kinds === null && team === null) return INVALID_INPUT;
  const isSelected = (job: Job) => states?.includes(job.state) ?? refuse(kind, job) === null;
  const ofWorkspace = jobs.filter(({ submit }) => submit.workspace === workspace);
  const isOfTeam = ({ labels }: Job) => labels.some(({ key, value }) => key === "team" && value === team);
  const matching = ofWorkspace.filter(
    (job) => isSelected(job) && (kinds?.includes(job.submit.kind) ?? true) && (team === null || isOfTeam(job)),
  );
  return { items: matching.slice(0, limit).map((job) => [job.number, change(kind, job)?.code ?? "changed"]) };
}

function change(kind: Bulk["kind"], job: Job): Refusal | null {
  const refusal = refuse(kind, job);
  if (refusal) return refusal;
  if (kind === "retry") retryJob(job, PERSON);
  else cancelJob(job, PERSON, { detail: "enough" });
  return null;
}

function refuse(kind: Bulk["kind"], job: Job): Refusal | null {
  if (job.state === "POISONED") return jobPoisoned(job);
  return kind === "retry" ? checkRetryable(job) : checkCancellable(job);
}

const checkCancellable = (job: Job): Refusal | null =>
  CANCELLABLE.includes(job.state) ? null : illegal(job, "CANCELLED");

async function actual(real: Real, { workspace, kind, states, kinds, team, limit }: Bulk): Promise<object> {
  const { engine } = real;
  const workspaceId = real.workspaceId(workspace);
  const labels = team === null ? null : [{ key: "team", value: team }];
  const options = { filter: { states, kinds, labels }, limit };
  const action =
    kind === "cancel"
      ? await cancelAiJobs(engine, workspaceId, SOMEBODY, { ...options, reason: "enough" })
      : await retryAiJobs(engine, workspaceId, SOMEBODY, options);
  if (action instanceof AppError) return real.refusal(action);
  const items = await settledItems(testSide(engine), action);
  return {
    items: items.map(({ jobId, outcome }) => [
      real.numberOf({ jobId, workspaceId }),
      typeof outcome === "string" ? outcome : outcome.code,
    ]),
  };
}

const states: readonly (readonly JobState[] | null)[] = [
  null,
  ["FAILED"],
  ["FAILED", "POISONED", "COMPLETED", "RUNNING"],
];

export const bulks: fc.Arbitrary<Draw> = fc
  .record<Bulk>({
    workspace: fc.constantFrom(0, 0, 1, 2),
    kind: fc.constantFrom("retry", "retry", "cancel"),
    states: fc.constantFrom(...states),
    kinds: fc.constantFrom(...mostly<Bulk["kinds"]>(3, ["DOC_EDIT"], null, ["DOC_EDIT", "TERMINAL_EXEC"])),
    team: fc.constantFrom(...mostly(2, null, "search")),
    limit: fc.integer({ min: 1, max: 4 }),
  })
  .map(
    (input): Draw =>
      ({ jobs }) =>
        jobs.some(({ submit }) => submit.workspace === input.workspace) ? bulk(input) : null,
  );
