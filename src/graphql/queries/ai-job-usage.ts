import { MAX_SAFE_METRIC } from "../../db/metrics.ts";
import { exact } from "../../exact.ts";
import { boundedText } from "../../jobs/input-text.ts";
import { labelKey } from "../../jobs/labels.ts";
import { MAX_ROWS, readUsage, type UsageRow } from "../../totals/usage.ts";
import { MAX_GROUPS, USAGE_GROUPS, USAGE_INTERVALS, type UsageQuery } from "../../totals/usage-query.ts";
import { builder } from "../builder.ts";
import { namesBelow } from "../connection.ts";
import { JobKindEnum, JobStateEnum, UsageGroupEnum, UsageIntervalEnum } from "../enums.ts";
import { orThrow } from "../result.ts";
import { JobMetrics } from "../types/job-metrics.ts";

const TIME = "in milliseconds, within 5 %; null where none of them was";
const QUEUED =
  "of the times that the jobs that ended were QUEUED since they were submitted or last retried, as AiJob.queuedMs";
const RAN =
  "of the times that the jobs that ended were RUNNING since they were submitted or last retried, as AiJob.runMs";

/** The fields that are read only where they are selected. */
const TIMES = ["queueMsP50", "queueMsP95", "runMsP50", "runMsP95"] as const satisfies readonly (keyof UsageRow)[];

const AiJobUsageRow = builder.objectRef<UsageRow>("AiJobUsageRow").implement({
  description:
    "What was used in an interval, and which jobs ended in it. What groupBy does not name is null. Sums are exact, percentiles " +
    "within 5 % (section 14).",
  fields: (t) => ({
    from: t.expose("from", { type: "DateTime", description: "When the interval begins, in UTC." }),
    jobKind: t.expose("jobKind", { type: JobKindEnum, nullable: true, description: "The kind; by KIND." }),
    state: t.expose("state", {
      type: JobStateEnum,
      nullable: true,
      description: "The state in which the jobs ended; by STATE.",
    }),
    provider: t.exposeString("provider", { nullable: true, description: "Who runs the model; by MODEL." }),
    model: t.exposeString("model", { nullable: true, description: "The model, as its provider names it; by MODEL." }),
    protocolId: t.exposeString("protocolId", { nullable: true, description: "The protocol; by PROTOCOL." }),
    label: t.exposeString("label", { nullable: true, description: "The value of the label `labelKey`; by LABEL." }),
    jobs: t.expose("jobs", {
      type: "SafeInt",
      description:
        "The number of jobs that ended in the interval: a job that was retried, each time. By MODEL, of those that had called the " +
        "model by then.",
    }),
    metrics: t.expose("metrics", {
      type: JobMetrics,
      description:
        "What was used in the interval, by jobs in any state. By STATE, what the jobs that ended had used since they were submitted or " +
        "last retried, and what was reported for jobs that had ended. By MODEL, inputTokens, outputTokens and totalTokens alone; the " +
        `others are 0. With what was reported after jobs were poisoned. A sum above ${MAX_SAFE_METRIC} is given as that.`,
    }),
    costMicros: t.expose("costMicros", {
      type: "SafeInt",
      description:
        "What the calls of models among these cost, in millionths of the deployment's currency (COST_CURRENCY).",
    }),
    queueMsP50: t.expose("queueMsP50", {
      type: "SafeInt",
      nullable: true,
      description: `The median ${QUEUED}, ${TIME}.`,
    }),
    queueMsP95: t.expose("queueMsP95", {
      type: "SafeInt",
      nullable: true,
      description: `The 95th percentile ${QUEUED}, ${TIME}.`,
    }),
    runMsP50: t.expose("runMsP50", { type: "SafeInt", nullable: true, description: `The median ${RAN}, ${TIME}.` }),
    runMsP95: t.expose("runMsP95", {
      type: "SafeInt",
      nullable: true,
      description: `The 95th percentile ${RAN}, ${TIME}.`,
    }),
  }),
});

/** Rows of an interval for each group, as complexity counts them: a few kinds, states, models. */
const ROWS_PER_GROUP = 3;
/** Rows that complexity counts at most, so that all fields of the most intervals are within LIMIT. */
const MAX_COUNTED_ROWS = 750;

/** How many rows there are is not known before they are read: as many as the intervals, and more for each group. */
function complexityOf({ from, to, interval, groupBy }: UsageQuery) {
  // Complexity is also asked for variables as they were sent: a time is a text there.
  const length = new Date(to).getTime() - new Date(from).getTime();
  const intervals = Math.max(1, length / (USAGE_INTERVALS[interval].hours * 3_600_000) || 1);
  return { field: 1, multiplier: Math.min(Math.ceil(intervals * ROWS_PER_GROUP ** groupBy.length), MAX_COUNTED_ROWS) };
}

builder.queryField("aiJobUsage", (t) =>
  t.field({
    permission: "JOBS_READ",
    type: [AiJobUsageRow],
    complexity: complexityOf,
    description:
      "What the workspace has used by the hour or the day, exactly as of now, by time and then by the groups; intervals and groups " +
      `without anything are left out. At most ${MAX_ROWS.toLocaleString("en")} rows: more are INVALID_INPUT. The time it takes grows with the ` +
      "intervals and what they are kept apart by, and not with the number of jobs (section 14).",
    args: {
      from: t.arg({ type: "DateTime", required: true, description: "When the first interval begins, in UTC." }),
      to: t.arg({
        type: "DateTime",
        required: true,
        description: `When the last one ends, in UTC. At most ${USAGE_INTERVALS.HOUR.max} hours, or ${USAGE_INTERVALS.DAY.max} days, after from.`,
      }),
      interval: t.arg({ type: UsageIntervalEnum, required: true, description: "How long each interval is." }),
      groupBy: t.arg({
        type: [UsageGroupEnum],
        required: true,
        defaultValue: [],
        description: `What rows are kept apart by: at most ${MAX_GROUPS} of ${Object.keys(USAGE_GROUPS).join(", ")}.`,
      }),
      labelKey: t.arg.string({
        validate: labelKey.nullish(),
        description: "For LABEL, and only for it: a key that the workspace has declared (setUsageLabels).",
      }),
      kinds: t.arg({ type: [JobKindEnum], description: "Only jobs of these kinds; if left out, of all." }),
      protocolId: t.arg.string({
        validate: boundedText(200).nullish(),
        description: "Only jobs of this protocol; if left out, of all.",
      }),
    },
    resolve: async (_root, args, { engine, viewer: { workspaceId } }, info) => {
      const names = namesBelow(info);
      const withTimes = TIMES.some((name) => names.has(name));
      return [...orThrow(await readUsage(engine.prisma, workspaceId, exact<UsageQuery>()({ ...args, withTimes })))];
    },
  }),
);
