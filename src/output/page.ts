import type { PrismaClient } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import { PREPARE_MARKER } from "../db/prepared.ts";
import { hasEnded } from "../jobs/state.ts";
import { compareOutput, END, type OutputPosition } from "./position.ts";

/** Reading a job's output in pages, each of which is read by one statement, and so from one moment. */

/** Which page: what comes after a place in the output of a job. */
export interface OutputQuery {
  readonly workspaceId: string;
  readonly jobId: string;
  readonly after: OutputPosition;
}

/** A chunk; or that an attempt's output has ended, which has no text. */
export interface OutputEntry {
  readonly attempt: number;
  /** Of an end: one more than that of the attempt's last chunk that is known. */
  readonly sequence: number;
  readonly text: string;
  readonly isLast: boolean;
  /** Where who has read it goes on. */
  readonly position: OutputPosition;
}

export interface OutputPage {
  readonly entries: readonly OutputEntry[];
  /** Whether there may be more behind it already. */
  readonly hasMore: boolean;
  /** Whether the job has ended, and nothing comes behind the page unless somebody retries it. */
  readonly isLast: boolean;
}

/** The most chunks, and ends of attempts, of a page: at most 1 MiB. */
const MAX_CHUNKS = 64;
const MAX_ENDS = 100;

/** A row of the statement: a chunk, an end (`END`), or the job alone where there is neither. */
export interface PageRow {
  readonly workspaceId: string;
  readonly state: JobState;
  readonly attempt: number | null;
  readonly sequence: number | null;
  readonly text: string | null;
}

/** @returns undefined where the workspace has no such job. */
export async function readOutputPage(prisma: PrismaClient, query: OutputQuery): Promise<OutputPage | undefined> {
  const { workspaceId, jobId, after } = query;
  const rows = await prisma.$queryRaw<PageRow[]>`
    ${PREPARE_MARKER} SELECT j.workspace_id AS "workspaceId", upper(j.state::text) AS state, entry.*
    FROM ai_jobs j LEFT JOIN LATERAL (
      (SELECT c.attempt, c.sequence, c.text FROM output_chunks c
        WHERE c.job_id = j.job_id AND (c.attempt, c.sequence) > (${after.attempt}, ${after.sequence})
        ORDER BY c.attempt, c.sequence LIMIT ${MAX_CHUNKS})
      UNION ALL
      (SELECT r.attempt, ${END}::int, '' FROM workflow_runs r
        WHERE r.job_id = j.job_id AND r.attempt >= ${after.attempt} AND r.state <> 'running'
        ORDER BY r.attempt LIMIT ${MAX_ENDS})
    ) AS entry ON true
    WHERE j.job_id = ${jobId}::uuid AND j.workspace_id = ${workspaceId}::uuid`;
  // The second look, as each row that is read has one (section 11).
  return toPage(
    rows.filter((row) => row.workspaceId === workspaceId),
    after,
  );
}

/** Puts chunks and ends in order, up to where the rows have all of both. */
export function toPage(rows: readonly PageRow[], after: OutputPosition): OutputPage | undefined {
  const [job] = rows;
  if (!job) return undefined;
  const places = rows
    .flatMap(({ attempt, sequence, text }) =>
      attempt === null || sequence === null || text === null ? [] : [{ attempt, sequence, text }],
    )
    .toSorted(compareOutput);
  const isEnd = ({ sequence }: OutputPosition) => sequence === END;
  const ends = places.filter(isEnd);
  const chunks = places.filter((place) => !isEnd(place));
  const limits = [
    ...(ends.length === MAX_ENDS ? ends.slice(-1) : []),
    ...(chunks.length === MAX_CHUNKS ? chunks.slice(-1) : []),
  ];
  const entries: OutputEntry[] = [];
  let last = after;
  for (const { text, ...position } of places) {
    if (compareOutput(position, after) <= 0 || limits.some((limit) => compareOutput(position, limit) > 0)) continue;
    const { attempt } = position;
    const sequence = !isEnd(position) ? position.sequence : last.attempt === attempt ? last.sequence + 1 : 1;
    entries.push({ attempt, sequence, text, isLast: isEnd(position), position });
    last = position;
  }
  const hasMore = limits.length > 0;
  return { entries, hasMore, isLast: !hasMore && hasEnded(job.state) };
}
