import { cpus, loadavg } from "node:os";

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The quantile: the value at or below which this share (0 to 1) of the values lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** A Markdown table. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), `|${" --- |".repeat(head.length)}`, ...rows.map(line)].join("\n");
}

/** The load of the machine before the measurement: figures from a busy machine mean little. */
export function machine(): string {
  return `Node ${process.versions.node}, ${cpus().length} cores, load ${loadavg()[0]?.toFixed(2)} before the start`;
}

/** Checks a limit. If one is not met, the process ends with an error code. */
export function bar(what: string, figure: number, { atLeast, atMost }: { atLeast?: number; atMost?: number }): string {
  const holds = figure >= (atLeast ?? Number.NEGATIVE_INFINITY) && figure <= (atMost ?? Number.POSITIVE_INFINITY);
  if (!holds) process.exitCode = 1;
  const asked = atLeast === undefined ? `at most ${atMost}` : `at least ${atLeast}`;
  return `${holds ? "holds" : "MISSED"}: ${what} ${figure.toFixed(2)}, ${asked} asked`;
}
