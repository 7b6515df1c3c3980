import { Prisma, type PrismaClient, type OutputChunk as Row, type WorkflowRun } from "../db/generated/client/client.ts";
import { PREPARE_MARKER } from "../db/prepared.ts";
import { toRecordset } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import type { Stored } from "./next-chunks.ts";
import { TAIL_SOURCE_CHARACTERS } from "./tail.ts";

/** Reads and writes of a run's chunks. They are written, and deleted with their job's poisoning, under the job's lock. */

/** The run that chunks belong to. */
export type ChunksRun = Pick<WorkflowRun, "id" | "workspaceId" | "jobId" | "attempt">;

/** Where a run's output ends, and its last characters. */
export interface OutputEnd {
  readonly lastSequence: number;
  readonly text: string;
}

/** The most bytes of UTF-8 that as many characters take. */
const TAIL_SOURCE_BYTES = 4 * TAIL_SOURCE_CHARACTERS;

/** Reads the end of a run's output, without a lock: what is there stays, and more may come. */
export async function readOutputEnd(db: Transaction | PrismaClient, run: ChunksRun): Promise<OutputEnd> {
  // The bytes up to each chunk tell which ones the last characters are in: no other text is read.
  const [end] = await db.$queryRaw<OutputEnd[]>`
    ${PREPARE_MARKER} SELECT last.sequence AS "lastSequence", (
      SELECT right(string_agg(right(c.text, ${TAIL_SOURCE_CHARACTERS}), '' ORDER BY c.sequence), ${TAIL_SOURCE_CHARACTERS})
      FROM (
        SELECT sequence, text, total_bytes FROM output_chunks WHERE ${isOf(run)}
        ORDER BY sequence DESC LIMIT ${TAIL_SOURCE_CHARACTERS}
      ) AS c WHERE c.total_bytes > last.total_bytes - ${TAIL_SOURCE_BYTES}
    ) AS text
    FROM (SELECT sequence, total_bytes FROM output_chunks WHERE ${isOf(run)} ORDER BY sequence DESC LIMIT 1) AS last`;
  return end ?? { lastSequence: 0, text: "" };
}

/** Reads what a call's chunks are decided by: the run's last chunk, and those that have the sequences of the call. */
export async function readStored(tx: Transaction, run: ChunksRun, first: number, last: number): Promise<Stored> {
  type Chunk = Pick<Row, "sequence" | "totalBytes"> & { readonly text: string | null };
  const chunks = await tx.$queryRaw<Chunk[]>`
    ${PREPARE_MARKER} (SELECT sequence, total_bytes AS "totalBytes", NULL AS text FROM output_chunks WHERE ${isOf(run)}
      ORDER BY sequence DESC LIMIT 1)
    UNION ALL SELECT sequence, total_bytes, text FROM output_chunks
      WHERE ${isOf(run)} AND sequence >= ${first} AND sequence <= ${last}`;
  const [end] = chunks;
  const texts = new Map(chunks.flatMap(({ sequence, text }) => (text === null ? [] : [[sequence, text] as const])));
  return { lastSequence: end?.sequence ?? 0, totalBytes: end?.totalBytes ?? 0, texts };
}

/** Inserts chunks in the order of their sequences. */
export async function insertChunks(
  tx: Transaction,
  { id, workspaceId, jobId, attempt }: ChunksRun,
  chunks: readonly Pick<Row, "sequence" | "text" | "totalBytes">[],
): Promise<void> {
  const rows = chunks.map((chunk): Row => ({ ...chunk, workspaceId, jobId, attempt, workflowRunId: id }));
  await tx.$executeRaw`
    ${PREPARE_MARKER} INSERT INTO output_chunks (workspace_id, job_id, attempt, sequence, workflow_run_id, text, total_bytes)
    SELECT workspace_id, job_id, attempt, sequence, workflow_run_id, text, total_bytes
    FROM json_populate_recordset(NULL::output_chunks, ${toRecordset(rows)}) ORDER BY sequence`;
}

/** Deletes all output of jobs that this transaction has poisoned. */
export async function deleteOutputOf(tx: Transaction, jobIds: readonly string[]): Promise<void> {
  await tx.$executeRaw`DELETE FROM output_chunks WHERE job_id = ANY(${jobIds}::uuid[])`;
}

function isOf({ workspaceId, jobId, attempt }: ChunksRun): Prisma.Sql {
  return Prisma.sql`job_id = ${jobId}::uuid AND attempt = ${attempt} AND workspace_id = ${workspaceId}::uuid`;
}
