import type { AiJobUsageQuery, UsageGroup } from "@ai-job-server/sdk/client";
import { OTHERS, splitLines } from "../ui/chart-lines.ts";
import { kindWord } from "../ui/kind.ts";
import { modelName } from "../ui/model-name.ts";
import { sum } from "../ui/numbers.ts";
import { stateWord } from "../ui/states.ts";
import { type Asked, type Measure, timesOf } from "./query.ts";

export type Row = AiJobUsageQuery["aiJobUsage"][number];

/** What one group has used in the whole period, exactly. */
export interface Group {
  readonly name: string;
  readonly rows: readonly Row[];
  readonly jobs: bigint;
  readonly inputTokens: bigint;
  readonly outputTokens: bigint;
  readonly totalTokens: bigint;
  readonly costMicros: bigint;
}

/** @returns what a row is of, for people. */
export function nameOf(row: Row, by: UsageGroup | null): string {
  switch (by) {
    case null:
      return "All jobs";
    case "KIND":
      return row.jobKind === null ? "" : kindWord(row.jobKind);
    case "STATE":
      return row.state === null ? "" : stateWord(row.state);
    case "MODEL":
      return modelName(row.provider, row.model);
    case "PROTOCOL":
      return row.protocolId ?? "";
    case "LABEL":
      return row.label ?? "";
  }
}

export function totalOf(name: string, rows: readonly Row[]): Group {
  return {
    name,
    rows,
    jobs: sum(rows.map(({ jobs }) => jobs)),
    inputTokens: sum(rows.map(({ metrics }) => metrics.inputTokens)),
    outputTokens: sum(rows.map(({ metrics }) => metrics.outputTokens)),
    totalTokens: sum(rows.map(({ metrics }) => metrics.totalTokens)),
    costMicros: sum(rows.map(({ costMicros }) => costMicros)),
  };
}

/** @returns the groups, those first that have used most. */
export function groupsOf(rows: readonly Row[], by: UsageGroup | null, show: Measure): readonly Group[] {
  const byName = new Map<string, Row[]>();
  for (const row of rows) {
    const name = nameOf(row, by);
    const those = byName.get(name);
    if (those) those.push(row);
    else byName.set(name, [row]);
  }
  const measure = (group: Group) => (show === "cost" ? group.costMicros : group.totalTokens);
  return [...byName]
    .map(([name, those]) => totalOf(name, those))
    .toSorted((one, other) => Number(measure(other) - measure(one)));
}

const MICROS = 1_000_000;

interface Line {
  readonly name: string;
  readonly values: readonly number[];
}

/** @returns the chart's lines over all intervals of the period that have begun, those without anything too; each value is a point at its beginning. */
export function linesOf(
  groups: readonly Group[],
  asked: Asked,
  now: number,
): { readonly times: number[]; readonly lines: Line[] } {
  const times = timesOf(asked, now);
  const places = new Map(times.map((time, place) => [time, place]));
  const { shown, others } = splitLines(groups);
  const all = [...shown, ...(others.length > 0 ? [{ name: OTHERS, rows: others.flatMap(({ rows }) => rows) }] : [])];
  const lines = all.map(({ name, rows }) => {
    const values = times.map(() => 0);
    for (const { from, costMicros, metrics } of rows) {
      const place = places.get(Date.parse(from));
      // A picture need not be exact; the table below it is.
      const value = asked.show === "cost" ? costMicros / MICROS : metrics.totalTokens;
      if (place !== undefined) values[place] = (values[place] ?? 0) + value;
    }
    // The chart keeps the names of its lines apart by what ends a line.
    return { name: name.replaceAll(/\s+/g, " ") || "(empty)", values };
  });
  return { times: times.map((time) => time / 1000), lines };
}
