import { uuidv7 } from "uuidv7";
import { Prisma, type UsageEntry } from "../../db/generated/client/client.ts";
import { toRecordset } from "../../db/rows.ts";
import type { LockedJobSummary } from "../lock.ts";
import type { MetricsDelta } from "../metrics.ts";
import type { ExtraCte } from "../store.ts";
import { timeOfNextVersion } from "../version.ts";
import { byModel, costOf, type ModelCall } from "./model-usage.ts";

/**
 * The ledger of model calls (section 14): append-only, one entry for each model of a report. Entries are written by the statement of
 * the version that counts them, and have its position, so that the ledger and the log can be added up to the same place.
 */

/** The part of a report that its calls of models are written from. */
export interface ReportWithCalls {
  /** The run that the report is about. */
  readonly workflowRunId: string;
  readonly metrics: MetricsDelta;
}

/**
 * @param job the job, locked, as it is before the version that counts the calls.
 * @param nodeExecutionId the step that was reported.
 * @returns the entries of a report; none for one without calls.
 */
export function toUsageEntries(
  { workflowRunId, metrics: { usage = [] } }: ReportWithCalls,
  job: LockedJobSummary,
  nodeExecutionId: string | null = null,
): UsageEntry[] {
  return entriesOf(usage, job, {
    version: job.version + 1,
    workflowRunId,
    nodeExecutionId,
    reportId: null,
  });
}

/**
 * @param job the poisoned job, locked. It gets no version any more, so that its report tells what is counted once.
 * @returns the entries of calls that were reported after it was poisoned.
 */
export function toEntriesBeside(
  { workflowRunId, reportId }: { readonly workflowRunId: string; readonly reportId: string },
  calls: readonly ModelCall[],
  job: LockedJobSummary,
): UsageEntry[] {
  return entriesOf(calls, job, { version: null, workflowRunId, nodeExecutionId: null, reportId });
}

function entriesOf(
  calls: readonly ModelCall[],
  job: LockedJobSummary,
  belongsTo: Pick<UsageEntry, "version" | "workflowRunId" | "nodeExecutionId" | "reportId">,
): UsageEntry[] {
  return byModel(calls).map((usage) => ({
    id: uuidv7(),
    workspaceId: job.workspaceId,
    jobId: job.jobId,
    capabilityProfileId: job.capabilityProfileId,
    orderXid: job.nextOrderXid,
    recordedAt: timeOfNextVersion(job),
    ...belongsTo,
    ...usage,
  }));
}

/** @returns the CTE that writes entries, for the statement of `writeVersions`; no CTE where there are none. */
export function insertUsageCte(entries: readonly UsageEntry[]): ExtraCte[] {
  if (entries.length === 0) return [];
  return [
    Prisma.sql`new_usage AS (
      INSERT INTO usage_entries
      SELECT * FROM json_populate_recordset(NULL::usage_entries, ${toRecordset(entries)}))`,
  ];
}

/** What the event of a version says of the cost that it adds: nothing where it adds none. */
export function costPayload({ usage = [] }: Pick<MetricsDelta, "usage">): { readonly cost_micros?: number } {
  const cost = costOf(usage);
  return cost === 0n ? {} : { cost_micros: Number(cost) };
}
