import type { UsageGroup } from "@ai-job-server/sdk/client";
import { typedAmount } from "../ui/numbers.ts";
import { nameOf, type Row } from "./groups.ts";

/** @returns the lines of a spreadsheet, with a head: the cost in millionths, which add up exactly, and in the currency. */
export function usageLines(
  rows: readonly Row[],
  by: UsageGroup | null,
  of: string,
  currency: string,
): readonly (readonly string[])[] {
  const head = ["from", of, "jobs", "inputTokens", "outputTokens", "totalTokens", "costMicros", "cost", "currency"];
  const lines = rows.map((row) => [
    row.from,
    nameOf(row, by),
    ...[row.jobs, row.metrics.inputTokens, row.metrics.outputTokens, row.metrics.totalTokens, row.costMicros].map(
      String,
    ),
    typedAmount(row.costMicros),
    currency,
  ]);
  return [head, ...lines];
}
