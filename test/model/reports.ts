import type { JobState } from "../../src/db/generated/client/enums.ts";
import { INVALID_INPUT, illegal, poisonedBefore, type Refusal } from "./rules.ts";
import { hasEnded, holdsLease, type Job, type Kept, type Node, type Run, type World } from "./world.ts";

/** Section 6, "Report": what a worker must prove, and that a report with an id counts once. */

/** A report names a run and proves its lease with a token: both by the number of a claim, -1 for one that nobody has. */
export interface Proof {
  readonly run: number;
  readonly token: number;
}

export interface Report extends Proof {
  /** A small number stands for the worker's own id; null where it gives none. */
  readonly reportId: number | null;
}

export interface Judged {
  readonly run: Run;
  readonly job: Job;
  /** The same report, where it has counted before. */
  readonly kept: Kept | null;
}

/**
 * Whether a report may be heard, checked in the spec's order.
 * @param ends whether it ends its run, so that the same one sent again comes after the end.
 */
export function judge(world: World, sort: string, report: Report, to: JobState, ends: boolean): Judged | Refusal {
  const run = world.claims[report.run];
  if (!run || report.token !== report.run) return LEASE_LOST;
  const { job } = run;
  if (job.state === "POISONED") return poisonedBefore(job);
  const earlier = run.reports.get(idOf(report)) ?? null;
  const same = earlier?.content === contentOf(sort, report) ? earlier : null;
  if (same?.violation) return same.violation;
  if (same && ends) return { run, job, kept: same };
  if (hasEnded(job)) return illegal(job, to, directiveFor(job.state));
  if (!holdsLease(run)) return LEASE_LOST;
  return earlier && !same ? INVALID_INPUT : { run, job, kept: same };
}

/** Remembers a report that has counted, if it has an id. */
export function keep(
  run: Run,
  sort: string,
  report: Report,
  violation: Refusal | null,
  node: Node | null = null,
): void {
  if (report.reportId !== null) run.reports.set(idOf(report), { content: contentOf(sort, report), violation, node });
}

const LEASE_LOST: Refusal = { code: "LEASE_LOST", directive: "STOP_LEASE_LOST" };

function directiveFor(state: JobState): string {
  if (state === "CANCELLED") return "STOP_CANCELLED";
  return state === "FAILED" ? "STOP_FAILED" : "STOP_LEASE_LOST";
}

const idOf = ({ reportId }: Report): string => String(reportId);

const contentOf = (sort: string, { token: _secret, ...content }: Report): string => sort + JSON.stringify(content);
