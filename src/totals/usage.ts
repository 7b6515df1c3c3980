import { stateOfCode } from "../db/enum-codes.ts";
import { Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import type { JobKind, JobState } from "../db/generated/client/enums.ts";
import { METRIC_NAMES } from "../db/job-columns.ts";
import { forEachMetric, type JobMetrics, MAX_SAFE_METRIC } from "../db/metrics.ts";
import { snakeCase, toDbEnum } from "../db/rows.ts";
import { within } from "../db/scope.ts";
import { InvalidInputError } from "../errors.ts";
import { NIL_UUID } from "../uuid.ts";
import { changesNotAggregated } from "./changes.ts";
import { histogramOfList, middleOf } from "./histogram.ts";
import { intervalDeltas, SUM_COLUMNS, USED } from "./intervals.ts";
import { USAGE_GROUPS, USAGE_INTERVALS, type UsageQuery, usageFault } from "./usage-query.ts";

/** What a workspace has used, by the hour or the day (section 14). */

/** The most rows of a read. */
export const MAX_ROWS = 10_000;

/** What was used in an interval; of what `groupBy` does not name, null. */
export interface UsageRow {
  readonly from: Date;
  readonly jobKind: JobKind | null;
  readonly state: JobState | null;
  readonly provider: string | null;
  readonly model: string | null;
  readonly protocolId: string | null;
  readonly label: string | null;
  /** How many jobs ended; a job that was retried, each time. */
  readonly jobs: bigint;
  /** Sums; one above 2^53 - 1 is 2^53 - 1. */
  readonly metrics: JobMetrics;
  readonly costMicros: bigint;
  /** Of these jobs, in milliseconds, within 5 %; null where none of them was in that state. */
  readonly queueMsP50: number | null;
  readonly queueMsP95: number | null;
  readonly runMsP50: number | null;
  readonly runMsP95: number | null;
}

/**
 * Reads what a workspace has used, exactly as of now: what is aggregated, and in the same statement what is not.
 * @returns the rows in which there is something, by their time and then by their groups; or InvalidInputError, which says what to send.
 */
export async function readUsage(
  prisma: PrismaClient,
  workspaceId: string,
  query: UsageQuery,
): Promise<readonly UsageRow[] | InvalidInputError> {
  const fault = usageFault(query);
  if (fault) return fault;
  return within([workspaceId], async () => {
    const labelId = await labelOf(prisma, workspaceId, query);
    if (labelId instanceof InvalidInputError) return labelId;
    const rows = await prisma.$queryRaw<StoredRow[]>(selectUsage(workspaceId, labelId, query));
    if (rows.length <= MAX_ROWS) return rows.map((row) => toUsageRow(row));
    const message = `These are more than ${MAX_ROWS.toLocaleString("en")} rows. Ask for a shorter time, longer intervals or fewer groups.`;
    return new InvalidInputError(["from"], message);
  });
}

/** @returns the id of the declared label that rows are grouped by; that of none, for other groups. */
async function labelOf(
  prisma: PrismaClient,
  workspaceId: string,
  { labelKey }: UsageQuery,
): Promise<string | InvalidInputError> {
  if (typeof labelKey !== "string") return NIL_UUID;
  const declared = await prisma.usageLabel.findMany({ where: { workspaceId, key: labelKey } });
  const message = "The workspace has not declared this key. setUsageLabels does; usage is counted by it from then on.";
  return declared[0]?.labelId ?? new InvalidInputError(["labelKey"], message);
}

/** A row of the statement: the columns of the groups, and the buckets of the percentiles. */
interface StoredRow extends JobMetrics {
  readonly from: Date;
  readonly jobKind?: JobKind;
  readonly stateCode?: number;
  readonly provider?: string;
  readonly model?: string;
  readonly protocolId?: string;
  readonly label?: string;
  readonly jobs: bigint;
  readonly costMicros: bigint;
  readonly queueP50: number | null;
  readonly queueP95: number | null;
  readonly runP50: number | null;
  readonly runP95: number | null;
}

function selectUsage(workspaceId: string, labelId: string, query: UsageQuery): Prisma.Sql {
  const { from, to, interval, groupBy, kinds, protocolId, withTimes = true } = query;
  const isByState = groupBy.includes("STATE");
  const groups = Prisma.raw(["starts_at", ...groupBy.flatMap((group) => USAGE_GROUPS[group].columns)].join(", "));
  const names = Prisma.raw(['starts_at AS "from"', ...groupBy.map((group) => USAGE_GROUPS[group].select)].join(", "));
  const columns = Prisma.sql`${groups}${Prisma.raw(isByState ? "" : ", state_code")}, jobs, ${SUM_COLUMNS}`;
  const conditions = [
    Prisma.sql`workspace_id = ${workspaceId}::uuid AND hours = ${USAGE_INTERVALS[interval].hours}::smallint
      AND by_model = ${groupBy.includes("MODEL")} AND label_id = ${labelId}::uuid AND starts_at >= ${from} AND starts_at < ${to}`,
    ...(isByState ? [Prisma.sql`state_code <> ${USED}::smallint`] : []),
    ...(kinds ? [Prisma.sql`job_kind = ANY(${kinds.map((name) => toDbEnum(name))}::text[]::"JobKind"[])`] : []),
    ...(typeof protocolId === "string" ? [Prisma.sql`protocol_id = ${protocolId}`] : []),
  ];
  const where = Prisma.join(conditions, " AND ");
  // By states, what the jobs used that ended in them; otherwise what was used in the interval, whatever became of the jobs.
  const counted = isByState ? Prisma.sql`true` : Prisma.sql`state_code = ${USED}::smallint`;
  const sum = (column: string) => Prisma.sql`coalesce(sum(${Prisma.raw(column)}) FILTER (WHERE ${counted}), 0)`;
  const metrics = METRIC_NAMES.map((name) => Prisma.sql`${safe(sum(snakeCase(name)))} AS ${Prisma.raw(`"${name}"`)}`);
  return Prisma.sql`
    WITH change AS MATERIALIZED (${changesNotAggregated(Prisma.sql`ARRAY[${workspaceId}::uuid]`)}),
    ${intervalDeltas(Prisma.sql`usage_not_aggregated(ARRAY[${workspaceId}::uuid])`)},
    selected AS MATERIALIZED (
      SELECT ${columns}, queue_buckets, queue_jobs, run_buckets, run_jobs FROM usage_intervals WHERE ${where}
      UNION ALL
      SELECT ${columns}, ${histogramOfList("queue_times")}, ${histogramOfList("run_times")} FROM delta WHERE ${where}
    ), summed AS (
      SELECT ${groups}, ${Prisma.join(metrics)}, ${safe(sum("cost_micros"))} AS "costMicros", sum(jobs)::bigint AS jobs
      FROM selected GROUP BY ${groups}
      HAVING sum(jobs) > 0 OR ${Prisma.join(
        [...METRIC_NAMES.map(snakeCase), "cost_micros"].map((column) => Prisma.sql`${sum(column)} > 0`),
        " OR ",
      )}
    ), queue AS (${percentiles("queue", groups, withTimes)}), run AS (${percentiles("run", groups, withTimes)})
    SELECT ${names}, summed.*, queue.p50 AS "queueP50", queue.p95 AS "queueP95", run.p50 AS "runP50", run.p95 AS "runP95"
    FROM summed LEFT JOIN queue USING (${groups}) LEFT JOIN run USING (${groups})
    ORDER BY ${groups} LIMIT ${MAX_ROWS + 1}`;
}

function safe(sum: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`least(${sum}, ${MAX_SAFE_METRIC})::bigint`;
}

/**
 * A query for the buckets of the median and of the 95th percentile (nearest rank) of the times of each group; no rows where they are not
 * asked for.
 */
function percentiles(which: "queue" | "run", groups: Prisma.Sql, areAsked: boolean): Prisma.Sql {
  const rank = (percent: number) => Prisma.sql`min(bucket) FILTER (WHERE up_to * 100 >= total * ${percent}::int)`;
  // Two functions in the SELECT list go on together, and are not kept in memory first, as those of a FROM clause are.
  const pairs = Prisma.raw(`unnest(${which}_buckets) AS bucket, unnest(${which}_jobs) AS times`);
  return Prisma.sql`
    SELECT ${groups}, ${rank(50)} AS p50, ${rank(95)} AS p95
    FROM (
      SELECT ${groups}, bucket, sum(sum(times)) OVER (PARTITION BY ${groups} ORDER BY bucket) AS up_to,
        sum(sum(times)) OVER (PARTITION BY ${groups}) AS total
      FROM (SELECT ${groups}, ${pairs} FROM selected WHERE ${areAsked}) AS pair GROUP BY ${groups}, bucket
    ) AS ranked GROUP BY ${groups}`;
}

function toUsageRow(row: StoredRow): UsageRow {
  const middle = (bucket: number | null) => (bucket === null ? null : middleOf(bucket));
  return {
    from: row.from,
    jobKind: row.jobKind ?? null,
    state: row.stateCode === undefined ? null : stateOfCode(row.stateCode),
    provider: row.provider ?? null,
    model: row.model ?? null,
    protocolId: row.protocolId ?? null,
    label: row.label ?? null,
    jobs: row.jobs,
    metrics: forEachMetric((name) => row[name]),
    costMicros: row.costMicros,
    queueMsP50: middle(row.queueP50),
    queueMsP95: middle(row.queueP95),
    runMsP50: middle(row.runP50),
    runMsP95: middle(row.runP95),
  };
}
