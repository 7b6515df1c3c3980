import { styleText } from "node:util";
import type { JobState } from "../../test/generated/graphql.ts";
import { cut, fit } from "./columns.ts";
import { narrate } from "./narrate.ts";
import type { Change } from "./watch.ts";

/** Where the table goes: a terminal, or a pipe or file. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

const COLOURS = {
  QUEUED: "gray",
  RUNNING: "cyan",
  STALLED: "yellow",
  AWAITING_VALIDATION: "yellow",
  AWAITING_USER: "yellow",
  COMPLETED: "green",
  COMPLETED_WITH_ISSUES: "green",
  FAILED: "magenta",
  CANCELLED: "gray",
  POISONED: "red",
} as const satisfies Record<JobState, string>;

/** A state in its colour, and in a width of its own. */
export function stateCell(state: JobState, { isTTY }: Output): string {
  const cell = fit(state, 10);
  return isTTY ? styleText(COLOURS[state], cell) : cell;
}

/** How wide a line may be: a pipe has no width, and its lines are kept whole. */
export function widthOfOutput({ isTTY, columns }: Output): number {
  return isTTY ? (columns ?? 100) : Number.POSITIVE_INFINITY;
}

/** What a row calls its job: the document and, where there are jobs of several kinds, the kind. */
export function nameOf(document: string, jobKind: string, isOneOfSeveral: boolean): string {
  return isOneOfSeveral ? `${document} (${jobKind.toLowerCase()})` : document;
}

/**
 * The live table. In a terminal it has one row for each job, redrawn in place; where that is not possible, because the
 * output is no terminal or one too small, it has one line for each change.
 * @param jobs how many rows there will be.
 */
export function createScreen(output: Output, jobs: number, hasSeveralKinds: boolean): (change: Change) => void {
  const fits = jobs + 3 < (output.rows ?? 24) && columnsBefore(hasSeveralKinds) + 20 <= widthOfOutput(output);
  const redraws = output.isTTY === true && fits;
  const rows = new Map<string, string>();
  let drawn = 0;
  let began: number | undefined;
  output.write(`${"".padStart(8)}  ${header(hasSeveralKinds)}  WHAT HAPPENED\n`);
  return (change) => {
    const at = Date.parse(change.event?.recordedAt ?? "") || 0;
    began ??= at;
    const line = rowOf(change, at - began, output, hasSeveralKinds);
    if (!redraws) {
      output.write(`${line}\n`);
      return;
    }
    rows.set(change.job.jobId, line);
    const up = drawn > 0 ? `\u001b[${drawn}A` : "";
    output.write(`${up}${Array.from(rows.values(), (row) => `\u001b[2K${row}\n`).join("")}`);
    drawn = rows.size;
  };
}

/** Columns that the name of a job has. */
export function nameColumns(hasSeveralKinds: boolean): number {
  return hasSeveralKinds ? 45 : 28;
}

/** Columns of a row before what happened: the time, the state, the counts and the name. */
function columnsBefore(hasSeveralKinds: boolean): number {
  return 8 + 2 + 10 + 2 + 16 + 2 + nameColumns(hasSeveralKinds) + 2;
}

function header(hasSeveralKinds: boolean): string {
  return `STATE       VERSION   TOKENS  ${fit("DOCUMENT", nameColumns(hasSeveralKinds))}`;
}

function rowOf(change: Change, elapsed: number, output: Output, hasSeveralKinds: boolean): string {
  const { job, version, state, metrics, event } = change;
  const seconds = `${(elapsed / 1000).toFixed(2)} s`.padStart(8);
  const counts = `${`${version}`.padStart(7)}  ${`${metrics.totalTokens}`.padStart(7)}`;
  const name = fit(
    nameOf(job.entityRefs[0]?.entityId ?? job.jobId, job.jobKind, hasSeveralKinds),
    nameColumns(hasSeveralKinds),
  );
  const told = event === null ? "" : narrate(event);
  // A line that wraps would take two, and the next redraw would miss the place.
  const what = cut(told, Math.max(10, widthOfOutput(output) - columnsBefore(hasSeveralKinds) - 1));
  return `${seconds}  ${stateCell(state, output)}  ${counts}  ${name}  ${what}`;
}
