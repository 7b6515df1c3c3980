import type { AiJobUsageQueryVariables, UsageGroup, UsageInterval } from "@ai-job-server/sdk/client";

/** What the page of usage shows, as it stands in the address. Days are those of UTC, as the server counts them. */

const DAY_MS = 86_400_000;
const DAY = /^\d{4}-\d\d-\d\d$/;

export const GROUPS = ["KIND", "STATE", "MODEL", "PROTOCOL", "LABEL"] as const satisfies readonly UsageGroup[];
export const MEASURES = ["cost", "tokens"] as const;
export type Measure = (typeof MEASURES)[number];

export interface Asked {
  /** The first and the last day, both included, such as `2026-11-30`. */
  readonly from: string;
  readonly to: string;
  readonly interval: UsageInterval;
  readonly by: UsageGroup | null;
  /** For LABEL: which; null where none was chosen. */
  readonly label: string | null;
  readonly show: Measure;
}

/** @returns what an address asks for; what it has that is none of it is as if it were left out: the last 7 days. */
export function readAsked(params: URLSearchParams, now: Date): Asked {
  const [first, last] = presetDays("week", now);
  return {
    from: dayIn(params.get("from")) ?? first,
    to: dayIn(params.get("to")) ?? last,
    interval: params.get("interval") === "HOUR" ? "HOUR" : "DAY",
    by: GROUPS.find((group) => group === params.get("by")) ?? null,
    label: params.get("label"),
    show: params.get("show") === "tokens" ? "tokens" : "cost",
  };
}

function dayIn(text: string | null): string | null {
  return text !== null && DAY.test(text) && !Number.isNaN(Date.parse(text)) ? text : null;
}

export const PRESETS = { yesterday: "Yesterday", week: "7 days", month: "30 days" } as const;
export type Preset = keyof typeof PRESETS;

/** @returns the first and the last day of a period that is a click away; today is in it, but for yesterday. */
export function presetDays(preset: Preset, now: Date): readonly [from: string, to: string] {
  const ago = (days: number) => new Date(now.getTime() - days * DAY_MS).toISOString().slice(0, 10);
  switch (preset) {
    case "yesterday":
      return [ago(1), ago(1)];
    case "week":
      return [ago(6), ago(0)];
    case "month":
      return [ago(29), ago(0)];
  }
}

/** @returns the bounds as the API has them: the end is not in the period. */
export function boundsOf({ from, to }: Pick<Asked, "from" | "to">): { readonly from: string; readonly to: string } {
  return { from: new Date(from).toISOString(), to: new Date(Date.parse(to) + DAY_MS).toISOString() };
}

/** @returns what to ask the server for; null where a label is to be chosen first. */
export function variablesOf(asked: Asked, labels: readonly string[]): AiJobUsageQueryVariables | null {
  const { interval, by } = asked;
  const bounds = { ...boundsOf(asked), interval };
  if (by === null) return bounds;
  if (by !== "LABEL") return { ...bounds, groupBy: [by] };
  const labelKey = asked.label ?? labels[0];
  return labelKey === undefined ? null : { ...bounds, groupBy: [by], labelKey };
}

/** @returns when each interval of the period begins that has begun, in milliseconds since 1970. */
export function timesOf(asked: Asked, now: number): readonly number[] {
  const { from, to } = boundsOf(asked);
  const length = asked.interval === "HOUR" ? 3_600_000 : DAY_MS;
  const count = Math.max(0, Math.round((Date.parse(to) - Date.parse(from)) / length));
  return Array.from({ length: count }, (_, at) => Date.parse(from) + at * length).filter((time) => time <= now);
}
