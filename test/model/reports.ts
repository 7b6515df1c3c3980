import type { JobState } from "../../src/db/generated/client/enums.ts";
import { INVALID_INPUT, illegal, jobPoisoned, type Refusal } from "./rules.ts";
import { hasEnded, holdsLease, type Job, type Run, type StoredReport, type World } from "./world.ts";

/** Section 6, "Reports": what a worker must prove, and that a report with an id counts once. */

/**
 * The run of a report and the token that proves its lease, each by the number of a claim; -1 for one that does not
 * exist.
 */
export interface Proof {
  readonly run: number;
  readonly token: number;
}

export interface Report extends Proof {
  /** A small number stands for the report id; null if there is none. */
  readonly reportId: number | null;
}

export interface Admitted {
  readonly run: Run;
  readonly job: Job;
  /** The same report, if it was accepted before. */
  readonly earlier: StoredReport | null;
}

/**
 * Whether a report is admitted, checked in the order of section 6.
 * @param ends whether the report ends its run, so that a repeated report comes after the end.
 */
export function admit(world: World, sort: string, report: Report, to: JobState, ends: boolean): Admitted | Refusal {
  const run = world.claims[report.run];
  if (!run || report.token !== report.run) return LEASE_LOST;
  const { job } = run;
  if (job.state === "POISONED") return jobPoisoned(job, "STOP_POISONED");
  const { earlier, same } = earlierOf(run, sort, report);
  if (same?.violation) return same.violation;
  if (same && ends) return { run, job, earlier: same };
  if (hasEnded(job)) return illegal(job, to, directiveFor(job.state));
  if (!holdsLease(run)) return LEASE_LOST;
  return earlier && !same ? INVALID_INPUT : { run, job, earlier: same };
}

/** The report of the run that has the same id, and the same once more if its content is the same, too. */
export function earlierOf(run: Run, sort: string, report: Report) {
  const earlier = run.reports.get(idOf(report)) ?? null;
  return { earlier, same: earlier?.content === contentOf(sort, report) ? earlier : null };
}

/** Stores an accepted report, if it has an id. */
export function remember(
  run: Run,
  sort: string,
  report: Report,
  violation: Refusal | null,
  node: number | null = null,
): void {
  if (report.reportId !== null) run.reports.set(idOf(report), { content: contentOf(sort, report), violation, node });
}

export const LEASE_LOST: Refusal = { code: "LEASE_LOST", directive: "STOP_LEASE_LOST" };

function directiveFor(state: JobState): string {
  if (state === "CANCELLED") return "STOP_CANCELLED";
  return state === "FAILED" ? "STOP_FAILED" : "STOP_LEASE_LOST";
}

const idOf = ({ reportId }: Report): string => String(reportId);

const contentOf = (sort: string, { token: _secret, ...content }: Report): string => sort + JSON.stringify(content);
