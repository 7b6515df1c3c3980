import fc from "fast-check";
import { expect } from "vitest";
import type { JobState } from "../../src/db/generated/client/enums.ts";
import { METRIC_NAMES } from "../../src/db/job-columns.ts";
import { graphql } from "../generated/gql.ts";
import type { ModelUsageReportQuery } from "../generated/graphql.ts";
import { run } from "../support/server.ts";
import type { Real } from "./real.ts";
import { deltaOf, tokensOfCall } from "./rules.ts";
import {
  type CountedCall,
  type DeclaredLabel,
  hasEnded,
  type Job,
  MAX,
  type Metrics,
  noMetrics,
  type World,
} from "./world.ts";

/** Compares what a workspace has used, by any groups, with a recount from the events and the calls of models (section 14). */

const REPORT = graphql(`
  query ModelUsageReport(
    $from: DateTime!, $to: DateTime!, $interval: UsageInterval!, $groupBy: [UsageGroup!]!, $labelKey: String, $kinds: [JobKind!]
    $protocolId: String
  ) {
    aiJobUsage(
      from: $from, to: $to, interval: $interval, groupBy: $groupBy, labelKey: $labelKey, kinds: $kinds, protocolId: $protocolId
    ) {
      jobKind state provider model protocolId label jobs costMicros queueMsP50 queueMsP95 runMsP50 runMsP95
      metrics {
        durationMs totalTokens inputTokens outputTokens tokensPlanner tokensExecutor entitiesRead entitiesWritten
        validatorsRunCount
      }
    }
  }
`);

const GROUPS = ["KIND", "STATE", "MODEL", "LABEL", "PROTOCOL"] as const;
type Group = (typeof GROUPS)[number];

export interface Question {
  readonly workspace: number;
  readonly interval: "HOUR" | "DAY";
  readonly groupBy: readonly Group[];
  readonly kinds: readonly Job["submit"]["kind"][] | null;
  readonly protocolId: string | null;
}

/** Every choice of groups, in a workspace. */
export const everyQuestion = (workspace: number): readonly Question[] =>
  GROUPS.flatMap((first) => GROUPS.map((second) => (first === second ? [first] : [first, second])))
    .concat([[]])
    .map((groupBy) => ({ workspace, interval: "DAY", groupBy, kinds: null, protocolId: null }));

export const questions: fc.Arbitrary<readonly Question[]> = fc.array(
  fc.record({
    workspace: fc.constantFrom(0, 0, 1, 2),
    interval: fc.constantFrom("HOUR" as const, "DAY" as const),
    groupBy: fc.shuffledSubarray([...GROUPS], { maxLength: 2 }),
    kinds: fc.option(fc.constantFrom(["DOC_EDIT" as const], ["DOC_SUMMARIZE" as const, "TERMINAL_EXEC" as const]), {
      freq: 1,
    }),
    protocolId: fc.option(fc.constantFrom("test", "test", "none"), { freq: 1 }),
  }),
  { minLength: 3, maxLength: 6 },
);

/** A line of the answer, over all intervals: the sequence may have met the end of one. */
interface Line {
  readonly group: string;
  jobs: number;
  cost: number;
  readonly metrics: Metrics;
  /** Whether there are times that the jobs were queued, and that they ran. */
  queued: boolean;
  ran: boolean;
}

export async function expectSameReports(
  world: World,
  real: Real,
  url: string,
  asked: readonly Question[],
): Promise<void> {
  for (const question of asked) {
    const { workspace, groupBy } = question;
    const declared = world.usageLabels.get(workspace)?.[0];
    // Nothing can be asked by a label that is not declared.
    if (groupBy.includes("LABEL") && !declared) continue;
    const label = groupBy.includes("LABEL") ? declared : undefined;
    const { interval, kinds, protocolId } = question;
    const narrowed = {
      interval,
      groupBy: [...groupBy],
      labelKey: label?.key ?? null,
      kinds: kinds && [...kinds],
      protocolId,
    };
    const variables = { ...timeAround(interval), ...narrowed };
    const answer = await run(url, REPORT, variables, { "x-workspace-id": real.workspaceId(workspace) });
    // With the question, so that a difference says what was asked.
    expect({ question, lines: sumOf(answer.aiJobUsage.map(lineOf)) }).toEqual({
      question,
      lines: sumOf(recount(world, question, label)),
    });
  }
}

/** Intervals in which the whole sequence lies. */
function timeAround(interval: Question["interval"]) {
  const length = (interval === "HOUR" ? 1 : 24) * 3_600_000;
  const current = Math.floor(Date.now() / length);
  const at = (intervals: number) => new Date((current + intervals) * length).toISOString();
  return { from: at(-2), to: at(2) };
}

function lineOf(row: ModelUsageReportQuery["aiJobUsage"][number]): Line {
  const { jobKind, state, provider, model, protocolId, label, jobs, costMicros: cost, metrics } = row;
  const [queued, ran] = [row.queueMsP50 !== null, row.runMsP50 !== null];
  expect([row.queueMsP95 !== null, row.runMsP95 !== null]).toEqual([queued, ran]);
  const group = JSON.stringify([jobKind, state, provider, model, protocolId, label]);
  return { group, jobs, cost, metrics: { ...metrics }, queued, ran };
}

/** Adds up the lines of each group, and leaves out those without anything. */
function sumOf(lines: readonly Line[]): readonly Line[] {
  const sums = new Map<string, Line>();
  for (const line of lines) {
    const sum = sums.get(line.group) ?? { ...NOTHING, group: line.group, metrics: noMetrics() };
    sums.set(line.group, sum);
    sum.jobs += line.jobs;
    sum.cost = Math.min(sum.cost + line.cost, MAX);
    sum.queued ||= line.queued;
    sum.ran ||= line.ran;
    for (const name of METRIC_NAMES) sum.metrics[name] = Math.min(sum.metrics[name] + line.metrics[name], MAX);
  }
  const isSomething = ({ jobs, cost, metrics }: Line) =>
    jobs > 0 || cost > 0 || METRIC_NAMES.some((name) => metrics[name] > 0);
  return [...sums.values()].filter(isSomething).toSorted((one, other) => (one.group < other.group ? -1 : 1));
}

const NOTHING = { jobs: 0, cost: 0, queued: false, ran: false };

/** Something that a job used: with the change that counts it; or, once more, with the job that ended, or had ended. */
interface Part {
  /** Null: used, whatever becomes of the job. */
  readonly state: JobState | null;
  /** Whether the job ended by it. */
  readonly isEnd: boolean;
  /** What the events say. */
  readonly metrics: Metrics;
  readonly calls: readonly CountedCall[];
  readonly queued: boolean;
  readonly ran: boolean;
}

function recount(world: World, { workspace, groupBy, kinds, protocolId }: Question, label?: DeclaredLabel): Line[] {
  const isByState = groupBy.includes("STATE");
  const jobs = world.jobs.filter(
    ({ submit }) =>
      submit.workspace === workspace && (kinds?.includes(submit.kind) ?? true) && (protocolId ?? "test") === "test",
  );
  return jobs.flatMap((job) => {
    const value = label && job.labels.find(({ key }) => key === label.key)?.value;
    if (label && value === undefined) return [];
    return partsOf(job, label?.since[job.number]).flatMap(({ state, isEnd, queued, ran, ...part }) => {
      if (isByState && state === null) return [];
      const isCounted = isByState || state === null;
      const of = (models: readonly [string | null, string | null], counted: Pick<Part, "metrics" | "calls">): Line => ({
        group: JSON.stringify([
          groupBy.includes("KIND") ? job.submit.kind : null,
          isByState ? state : null,
          ...models,
          groupBy.includes("PROTOCOL") ? "test" : null,
          value ?? null,
        ]),
        jobs: isEnd ? 1 : 0,
        cost: isCounted ? counted.calls.reduce((sum, { call }) => sum + call.costMicros, 0) : 0,
        metrics: isCounted ? counted.metrics : noMetrics(),
        queued: isEnd && queued,
        ran: isEnd && ran,
      });
      if (!groupBy.includes("MODEL")) {
        return [
          of([null, null], {
            metrics: plus(
              part.metrics,
              part.calls.filter(({ isBeside }) => isBeside),
            ),
            calls: part.calls,
          }),
        ];
      }
      const models = new Map(part.calls.map(({ call }) => [`${call.provider} ${call.model}`, call]));
      return [...models.values()].map(({ provider, model }) => {
        const calls = part.calls.filter(({ call }) => call.provider === provider && call.model === model);
        return of([provider, model], { metrics: plus(noMetrics(), calls), calls });
      });
    });
  });
}

function plus(metrics: Metrics, calls: readonly CountedCall[]): Metrics {
  const usage = calls.map(({ call }) => call);
  const { inputTokens = 0, outputTokens = 0 } = deltaOf(usage);
  const totalTokens = usage.reduce((sum, call) => sum + tokensOfCall(call), 0);
  const more = { inputTokens, outputTokens, totalTokens };
  const sum = { ...metrics };
  for (const name of ["inputTokens", "outputTokens", "totalTokens"] as const) sum[name] += more[name];
  return sum;
}

const NEVER = { versions: 0, beside: 0 };

/** What is counted of a job: by a label, only what came since it was declared. */
function partsOf(job: Job, since = NEVER): Part[] {
  const calls = job.runs.flatMap((each) => each.calls);
  const within = (first: number, last: number) =>
    calls.filter(({ version }) => version !== null && version >= first && version <= last);
  const parts: Part[] = [];
  let firstOfRound = 1;
  for (const [index, event] of job.events.entries()) {
    const version = index + 1;
    const before = job.events[index - 1];
    const isOver = hasEnded(event);
    const wasOver = before !== undefined && hasEnded(before);
    if (wasOver && !isOver) firstOfRound = version;
    if (version <= since.versions) continue;
    const added = { metrics: minus(event.metrics, before?.metrics), calls: within(version, version) };
    const untimed = { isEnd: false, queued: false, ran: false };
    parts.push({ ...added, ...untimed, state: null });
    if (isOver && wasOver) parts.push({ ...added, ...untimed, state: event.state });
    if (!isOver || wasOver) continue;
    const states = job.events.slice(firstOfRound - 1, version).map(({ state }) => state);
    parts.push({
      state: event.state,
      isEnd: true,
      metrics: minus(event.metrics, job.events[firstOfRound - 2]?.metrics),
      calls: within(firstOfRound, version),
      queued: states.includes("QUEUED"),
      ran: states.includes("RUNNING"),
    });
  }
  for (const call of calls.filter(({ isBeside }) => isBeside).slice(since.beside)) {
    const beside = { isEnd: false, metrics: noMetrics(), calls: [call], queued: false, ran: false };
    parts.push({ ...beside, state: null }, { ...beside, state: "POISONED" });
  }
  return parts;
}

function minus(metrics: Metrics, before = noMetrics()): Metrics {
  const difference = noMetrics();
  for (const name of METRIC_NAMES) difference[name] = metrics[name] - before[name];
  return difference;
}
