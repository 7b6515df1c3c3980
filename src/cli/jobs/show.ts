import type { Job, JobState } from "@ai-job-server/sdk/client";
import { type Cell, type Color, table } from "../table.ts";

/** How jobs are shown to people. */

const COLORS: Readonly<Record<JobState, Color>> = {
  QUEUED: "gray",
  RUNNING: "cyan",
  STALLED: "yellow",
  AWAITING_USER: "magenta",
  AWAITING_VALIDATION: "magenta",
  COMPLETED: "green",
  COMPLETED_WITH_ISSUES: "yellow",
  FAILED: "red",
  CANCELLED: "gray",
  POISONED: "red",
};

const BAR_CELLS = 10;

/** @param now in milliseconds, for how long ago a job was submitted. */
export function showJobs(jobs: readonly Job[], now = Date.now()): string {
  return table([
    ["ID", "STATE", "KIND", "PROTOCOL", "PROGRESS", "TRY", "TOKENS", "COST", "AGE", "WHY"],
    ...jobs.map((job) => cellsOf(job, now)),
  ]);
}

function cellsOf(job: Job, now: number): readonly Cell[] {
  const { jobId, state, jobKind, protocolId, attempt, maxAttempts, metrics, costMicros, createdAt } = job;
  return [
    jobId,
    stateCell(state),
    jobKind,
    protocolId,
    progressText(job),
    `${attempt}/${maxAttempts}`,
    String(metrics.totalTokens),
    costText(costMicros),
    durationText(now - Date.parse(createdAt)),
    job.userInputRequest?.question ?? job.errorMessage ?? job.statusReason,
  ];
}

export function stateCell(state: JobState): Cell {
  return { text: state, color: COLORS[state] };
}

/** @returns a bar and what the worker says; nothing for a job that says nothing, or no longer runs. */
function progressText({ state, progress }: Pick<Job, "state" | "progress">): string {
  if (!progress || state !== "RUNNING") return "";
  const { fraction, message } = progress;
  const full = Math.round((fraction ?? 0) * BAR_CELLS);
  const bar =
    fraction === null ? "" : `${"█".repeat(full)}${"░".repeat(BAR_CELLS - full)} ${Math.round(fraction * 100)} %`;
  return [bar, message ?? ""].filter(Boolean).join(" ");
}

/** @param micros millionths of the deployment's currency. */
export function costText(micros: number): string {
  return micros === 0 ? "" : (micros / 1e6).toFixed(micros < 10_000 ? 6 : 2);
}

const UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
] as const;

/** @returns a duration by its two greatest units, such as `2h 5m`. */
export function durationText(ms: number): string {
  const at = UNITS.findIndex(([, size]) => ms >= size);
  if (at === -1) return "0s";
  const [[name, size] = ["s", 1_000], next] = UNITS.slice(at, at + 2);
  const rest = next ? Math.floor((ms % size) / next[1]) : 0;
  return `${Math.floor(ms / size)}${name}${rest > 0 && next ? ` ${rest}${next[0]}` : ""}`;
}
