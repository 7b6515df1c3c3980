import { styleText } from "node:util";
import type { JobState } from "../../test/generated/graphql.ts";
import { cut, fit } from "./columns.ts";
import { narrate } from "./narrate.ts";
import type { Change } from "./watch.ts";

/** The output of the table: a terminal, a pipe or a file. */
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

/** A state in its colour, padded to a fixed width. */
export function stateCell(state: JobState, { isTTY }: Output): string {
  const cell = fit(state, 10);
  return isTTY ? styleText(COLOURS[state], cell) : cell;
}

/** The line width of the output; a pipe has no width, and its lines are not truncated. */
export function widthOfOutput({ isTTY, columns }: Output): number {
  return isTTY ? (columns ?? 100) : Number.POSITIVE_INFINITY;
}

/** The name of a job in its row: the document, and the kind if there are jobs of several kinds. */
export function nameOf(document: string, jobKind: string, isOneOfSeveral: boolean): string {
  return isOneOfSeveral ? `${document} (${jobKind.toLowerCase()})` : document;
}

/**
 * The live table. In a terminal it has one row for each job, redrawn in place. If the output is not a terminal, or the
 * terminal is too small, it prints one line for each change instead.
 * @param jobs the number of rows.
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

/** The width of the column with the job's name. */
export function nameColumns(hasSeveralKinds: boolean): number {
  return hasSeveralKinds ? 45 : 28;
}

/** The width of the columns before WHAT HAPPENED: time, state, counts and name. */
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
  // A line that wraps takes two rows, and the next redraw would move the cursor up too little.
  const what = cut(told, Math.max(10, widthOfOutput(output) - columnsBefore(hasSeveralKinds) - 1));
  return `${seconds}  ${stateCell(state, output)}  ${counts}  ${name}  ${what}`;
}
