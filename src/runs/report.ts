import { hash } from "node:crypto";
import { canonicalize } from "json-canonicalize";
import { Prisma, type WorkerReport } from "../db/generated/client/client.ts";
import { REPORT_COLUMNS, toRecordset } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { InvalidInputError } from "../errors.ts";
import type { LockedJobSummary } from "../jobs/lock.ts";
import type { ExtraCte } from "../jobs/store.ts";

/**
 * A worker that lost an answer sends its report again, with the same `reportId`: it counts once (section 6). What was
 * kept is read under the job's lock, so that of two that arrive together the second one finds the first.
 */

/** Which run a report is about, and the worker's own id for it, if it gave one. */
export interface ReportRef {
  readonly workflowRunId: string;
  readonly reportId?: string | null | undefined;
}

/** A report, whatever else it brings, with the token that proves the right to make it. */
export interface Report extends ReportRef {
  readonly leaseToken: string;
}

/** The report that was kept under this id, without a lock: what was kept before has been guarded before. */
export async function findReport(
  db: Transaction,
  { workflowRunId, reportId }: ReportRef,
): Promise<WorkerReport | undefined> {
  if (reportId == null) return undefined;
  const [report] = await db.$queryRaw<WorkerReport[]>`
    SELECT ${REPORT_COLUMNS} FROM worker_reports
    WHERE workflow_run_id = ${workflowRunId}::uuid AND report_id = ${reportId}::uuid`;
  return report;
}

/** A row that was joined with the report of its run, where there is one. */
export type JoinedReport = WorkerReport | { readonly [column in keyof WorkerReport]: null };

export function joinedReport(row: JoinedReport): WorkerReport | undefined {
  return row.reportId === null ? undefined : row;
}

/**
 * Whether a report was kept before.
 * @param path where the report stands in the caller's input.
 * @returns true or false; or why it is refused: another report has its id.
 */
export function isRepeat(
  report: Report,
  earlier: WorkerReport | undefined,
  path: readonly string[],
): boolean | InvalidInputError {
  if (!earlier) return false;
  if (Buffer.from(earlier.reportHash).equals(hashOf(report))) return true;
  const message = "Another report of this run has this reportId. Use a new one for what has not been reported.";
  return new InvalidInputError([...path, "reportId"], message);
}

/** A report as it is kept; nothing for one without an id, which counts as often as it is sent. */
export function toReportRows(
  report: Report,
  job: LockedJobSummary,
  more: {
    readonly nodeExecutionId?: string;
    readonly violation?: { readonly code: string; readonly detail: string };
  } = {},
): WorkerReport[] {
  const { workflowRunId, reportId } = report;
  if (reportId == null) return [];
  return [
    {
      workflowRunId,
      reportId,
      reportHash: new Uint8Array(hashOf(report)),
      nodeExecutionId: more.nodeExecutionId ?? null,
      policyViolationCode: more.violation?.code ?? null,
      policyViolationDetail: more.violation?.detail ?? null,
      recordedAt: job.now,
    },
  ];
}

export function insertReportsCte(reports: readonly WorkerReport[]): ExtraCte[] {
  if (reports.length === 0) return [];
  return [
    Prisma.sql`kept_report AS (
      INSERT INTO worker_reports
      SELECT * FROM json_populate_recordset(NULL::worker_reports, ${toRecordset(reports)}))`,
  ];
}

/** What tells the same report from another one: all of it but the secret. */
function hashOf({ leaseToken: _secret, ...content }: Report): Buffer {
  return hash("sha256", canonicalize(content), "buffer");
}
