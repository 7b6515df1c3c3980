import { hash } from "node:crypto";
import { canonicalize } from "json-canonicalize";
import { Prisma, type WorkerReport } from "../db/generated/client/client.ts";
import { type KeptReport, REPORT_COLUMNS, toRecordset } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
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

/** The report that was kept under this id, read without a lock; undefined where there is none, or it has no id. */
export async function findReport(
  db: Transaction,
  { workflowRunId, reportId }: ReportRef,
): Promise<KeptReport | undefined> {
  if (reportId == null) return undefined;
  const [report] = await db.$queryRaw<KeptReport[]>`
    SELECT ${REPORT_COLUMNS} FROM worker_reports
    WHERE workflow_run_id = ${workflowRunId}::uuid AND report_id = ${reportId}::uuid`;
  return report;
}

/** The columns of a report that a row was joined with; all of them null where there was none. */
export type JoinedReport = KeptReport | { readonly [column in keyof KeptReport]: null };

export function joinedReport(row: JoinedReport): KeptReport | undefined {
  return row.reportId === null ? undefined : row;
}

/** Whether a report is the one that was kept under its id, sent again; else another report has its id. */
export function isSameReport(report: Report, earlier: KeptReport): boolean {
  return Buffer.from(earlier.reportHash).equals(hashOf(report));
}

/**
 * A report as it is kept; nothing for one without an id, which counts as often as it is sent.
 * @param more the node that a step opened or ended; or the violation for which the report failed its run.
 */
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
      workspaceId: job.workspaceId,
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

/** Keeps reports, by the statement that writes the versions of their jobs: all of it commits, or nothing. */
export function insertReportsCte(reports: readonly WorkerReport[]): ExtraCte[] {
  if (reports.length === 0) return [];
  return [
    Prisma.sql`kept_report AS (
      INSERT INTO worker_reports
      SELECT * FROM json_populate_recordset(NULL::worker_reports, ${toRecordset(reports)}))`,
  ];
}

/** What tells the same report from another one: all of it but the token, which is a secret. */
function hashOf({ leaseToken: _secret, ...content }: Report): Buffer {
  return hash("sha256", canonicalize(content), "buffer");
}
