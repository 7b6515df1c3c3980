import { styleText } from "node:util";
import { cut, fit } from "./columns.ts";
import { type Outcome, outputsOf } from "./outcome.ts";
import { nameColumns, nameOf, type Output, stateCell, widthOfOutput } from "./screen.ts";
import type { SubmittedJob } from "./submit.ts";

/** The line width if the output is a pipe or a file. */
const WIDEST = 145;

/** The final table: a row for each job, followed by the beginning of its summary, or by the reason why it has none. */
export function closingTable(
  jobs: readonly SubmittedJob[],
  outcomes: ReadonlyMap<string, Outcome>,
  output: Output,
): string {
  const hasSeveralKinds = new Set(jobs.map(({ input }) => input.jobKind)).size > 1;
  const head = `STATE       VERSIONS   TOKENS  ${fit("DOCUMENT", nameColumns(hasSeveralKinds))}  REASON, AND THE SUMMARY'S FIRST LINE`;
  const rows = jobs.flatMap((job) => {
    const outcome = outcomes.get(job.jobId);
    return outcome ? rowsOf(job, outcome, output, hasSeveralKinds) : [];
  });
  return [head, ...rows, "", totals([...outcomes.values()])].join("\n");
}

function rowsOf({ document, input }: SubmittedJob, outcome: Outcome, output: Output, hasSeveralKinds: boolean) {
  const { state, version, metrics, statusReason, errorMessage } = outcome;
  const counts = `${`${version}`.padStart(8)}  ${`${metrics.totalTokens}`.padStart(7)}`;
  const name = fit(nameOf(document.name, input.jobKind, hasSeveralKinds), nameColumns(hasSeveralKinds));
  const detail = outputsOf(outcome)?.summary.split("\n", 1)[0] ?? errorMessage ?? "";
  const indented = `            ${cut(detail, Math.min(widthOfOutput(output), WIDEST) - 13)}`;
  return [
    `${stateCell(state, output)}  ${counts}  ${name}  ${statusReason}`,
    output.isTTY ? styleText("dim", indented) : indented,
  ];
}

function totals(outcomes: readonly Outcome[]): string {
  const completed = outcomes.filter(({ state }) => state === "COMPLETED").length;
  const poisoned = outcomes.filter(({ state }) => state === "POISONED").length;
  const tokens = outcomes.reduce((sum, { metrics }) => sum + metrics.totalTokens, 0);
  const guards = outcomes.reduce((sum, { metrics }) => sum + metrics.validatorsRunCount, 0);
  return `${outcomes.length} jobs: ${completed} completed, ${poisoned} poisoned; ${tokens} tokens; guards ran ${guards} times`;
}
