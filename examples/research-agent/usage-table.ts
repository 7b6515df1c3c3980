import { z } from "zod";
import { fit } from "../demo/columns.ts";
import { type RecordedJob, type Total, totalOf } from "./record.ts";

const COLUMNS = [
  ["calls", "CALLS"],
  ["inputTokens", "INPUT"],
  ["cachedInputTokens", "CACHED"],
  ["outputTokens", "OUTPUT"],
  ["reasoningTokens", "REASONING"],
  ["costMicros", "COST IN MILLIONTHS"],
] as const satisfies readonly (readonly [keyof Total, string])[];

const NAME_COLUMNS = 50;
const MODEL_COLUMNS = 12;

/** The usage, a row for each job and model, and their sum. */
export function usageTable(jobs: readonly RecordedJob[]): string {
  const head = [fit("JOB", NAME_COLUMNS), fit("MODEL", MODEL_COLUMNS), ...COLUMNS.map(([, title]) => title)].join("  ");
  const rows = jobs.flatMap((job) => job.modelUsage.map((usage) => rowOf(nameOf(job), usage.model, usage)));
  return [head, ...rows, rowOf("all", "", totalOf(jobs))].join("\n");
}

/** What the job is to find out. */
function nameOf({ jobInputs }: RecordedJob): string {
  const { topic, question } = z
    .object({ topic: z.string(), question: z.string() })
    .partial()
    .catch({})
    .parse(jobInputs);
  return topic ?? question ?? "";
}

function rowOf(name: string, model: string, usage: Total): string {
  const counts = COLUMNS.map(([field, title]) => String(usage[field]).padStart(title.length));
  return [fit(name, NAME_COLUMNS), fit(model, MODEL_COLUMNS), ...counts].join("  ");
}
