import { canonicalHash } from "../canonical-hash.ts";
import { Prisma, type WorkerReport } from "../db/generated/client/client.ts";
import { type StoredReport, toRecordset } from "../db/rows.ts";
import type { CommandContext } from "../db/transaction.ts";
import type { LockedJobSummary } from "../jobs/lock.ts";
import type { ExtraCte } from "../jobs/store.ts";
import { largeHash } from "../threads/large-hash.ts";

/**
 * Reports are idempotent: a worker that did not get an answer sends its report again with the same `reportId`, and the
 * report counts once (section 6). Stored reports are read under the job's lock, so that of two equal reports which arrive
 * together the second one sees the first.
 */

/** The run that a report is about, and the worker's own id of the report, if any. */
export interface ReportRef {
  readonly workflowRunId: string;
  readonly reportId?: string | null | undefined;
}

/** By what a sender proves that it may report on a run. */
export interface LeaseProof {
  /** Proves that the sender has the run's lease. */
  readonly leaseToken: string;
  /** The workspace that the sender named, to which the run must belong; null, as left out: it named none, and serves all. */
  readonly workspaceId?: string | null;
  /** The principal that sends it, which must be the one that claimed the run; null, as left out: whoever has the token. */
  readonly principalId?: string | null;
}

/** What all kinds of report have in common. */
export interface Report extends ReportRef, LeaseProof {}

/** A report as a client sends it: which workspace it named and who it is cannot be left out, or every run would be open to it. */
export type SentReport<Kind extends Report> = Kind & Required<LeaseProof>;

/** The report columns of a row that was outer-joined with `worker_reports`: all null when there was no report. */
export type JoinedReport = StoredReport | { readonly [column in keyof StoredReport]: null };

/** @returns the report of an outer-joined row; undefined when there was none. */
export function joinedReport(row: JoinedReport): StoredReport | undefined {
  return row.reportId === null ? undefined : row;
}

/**
 * Tells whether a report has the content of the stored report with the same id, so that it is a repeat (section 9, "Report
 * hash"). If not, the worker has used the id for two different reports.
 */
export function isSameReport(report: Report, earlier: StoredReport): boolean {
  return Buffer.from(earlier.reportHash).equals(hashOf(report));
}

/**
 * @param more `nodeExecutionId`: the node that a step opened or ended. `isUsage`: it is of usage alone. `violation`: why the
 *   report failed its run.
 * @returns the row to store for a report; no row for a report without an id, which counts as often as it is sent.
 */
export function toReportRows(
  report: Report,
  job: LockedJobSummary,
  more: {
    readonly nodeExecutionId?: string;
    readonly isUsage?: true;
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
      isUsage: more.isUsage ?? false,
    },
  ];
}

/** @returns the CTE that stores reports, for the statement of `writeVersions`; no CTE when there are no reports. */
export function insertReportsCte(reports: readonly WorkerReport[]): ExtraCte[] {
  if (reports.length === 0) return [];
  return [
    Prisma.sql`new_report AS (
      INSERT INTO worker_reports
      SELECT * FROM json_populate_recordset(NULL::worker_reports, ${toRecordset(reports)}))`,
  ];
}

const hashes = new WeakMap<Report, Buffer>();

/** The hash of a report's content, computed once. */
function hashOf(report: Report): Buffer {
  const known = hashes.get(report) ?? Buffer.from(canonicalHash(contentOf(report)), "hex");
  hashes.set(report, known);
  return known;
}

/** Not the proof, because a secret must not be derivable from what is stored. */
function contentOf(report: Report): object {
  const { leaseToken: _leaseToken, workspaceId: _workspaceId, principalId: _principalId, ...content } = report;
  return content;
}

/**
 * Computes the hash of a large report ahead of its transaction, which would keep its job locked meanwhile, and every other request
 * waiting: in a worker thread. To be called before a report's transaction.
 * @throws TryAgainError where too much large content waits already.
 */
export async function hashIfLarge(context: CommandContext, report: Report): Promise<void> {
  if (report.reportId == null || hashes.has(report)) return;
  const hashed = await largeHash(context.client, contentOf(report));
  if (hashed !== null) hashes.set(report, Buffer.from(hashed, "hex"));
}
