import { Prisma, type UserInputRequest } from "../db/generated/client/client.ts";
import { QUESTION_COLUMNS, toRecordset } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import type { ExtraCte } from "../jobs/store.ts";

/** Reads and writes of workers' questions (section 13). A job that waits for an answer waits with the question of its latest run. */

/** @returns the question of a run; undefined when it asked none. */
export async function readQuestion(db: Transaction, runId: string): Promise<UserInputRequest | undefined> {
  const [question] = await db.$queryRaw<UserInputRequest[]>`
    SELECT ${QUESTION_COLUMNS} FROM user_input_requests WHERE workflow_run_id = ${runId}::uuid`;
  return question;
}

/** @returns the question that a job waits with; undefined where it waits for no answer. */
export async function readOpenQuestion(
  db: Transaction,
  workspaceId: string,
  jobId: string,
): Promise<UserInputRequest | undefined> {
  const [question] = await db.$queryRaw<UserInputRequest[]>`
    SELECT ${QUESTION_COLUMNS} FROM user_input_requests WHERE workspace_id = ${workspaceId}::uuid AND workflow_run_id = (
      SELECT workflow_run_id FROM ai_jobs
      WHERE job_id = ${jobId}::uuid AND workspace_id = ${workspaceId}::uuid AND waits_for = 'user_input')`;
  return question;
}

/** Inserts questions, in the statement that makes their jobs wait. */
export function insertQuestionsCte(questions: readonly UserInputRequest[]): ExtraCte[] {
  if (questions.length === 0) return [];
  return [
    Prisma.sql`new_question AS (
      INSERT INTO user_input_requests
      SELECT * FROM json_populate_recordset(NULL::user_input_requests, ${toRecordset(questions)}))`,
  ];
}

/** What answers a question. */
export type Answer = Required<Pick<UserInputRequest, "requestId" | "answer" | "answeredBy" | "answeredAt">>;

/** Stores an answer, in the statement that queues its job. */
export function answerCte(answer: Answer): ExtraCte {
  return Prisma.sql`answered AS (
    UPDATE user_input_requests q SET answer = n.answer, answered_by = n.answered_by, answered_at = n.answered_at
    FROM json_populate_recordset(NULL::user_input_requests, ${toRecordset([answer])}) AS n WHERE q.request_id = n.request_id)`;
}
