import type { UserInputRequest } from "../db/generated/client/client.ts";
import { PREPARE_MARKER } from "../db/prepared.ts";
import { selectList } from "../db/rows.ts";
import { groupBy } from "../db/slice.ts";
import type { Transaction } from "../db/transaction.ts";
import type { LockedJob } from "../jobs/lock.ts";
import type { GuardContent } from "../security/guards/guard.ts";

/**
 * What people have said about a job since it was submitted, and what its next worker gets with the claim (section 13). It comes from outside
 * as the inputs do, so it is guarded with them, before the worker gets its token.
 */
export interface CarriedOver {
  /** The answers to its workers' questions, oldest first. */
  readonly answers: readonly CarriedAnswer[];
  /** What the person said who last sent it back, whatever runs came after; null where there is nothing. */
  readonly reviewComment: string | null;
}

/** A question with its answer, without what was only for the person who answered. */
export interface CarriedAnswer extends Pick<UserInputRequest, "jobId" | "requestId" | "question" | "answer"> {
  readonly answeredBy: string;
  readonly answeredAt: Date;
}

const ANSWER_FIELDS = ["requestId", "question", "answer", "answeredBy", "answeredAt"] as const;
const ANSWER_COLUMNS = selectList(["jobId", ...ANSWER_FIELDS]);

/** For a job about which nobody has said anything. */
export const NOTHING_CARRIED: CarriedOver = { answers: [], reviewComment: null };

/**
 * The answers that a claim brings: the latest ones of each job, up to a number and to the bytes of one statement. The latest of each of a
 * hundred jobs, which the claim is for, fits into these.
 */
const MAX_ANSWERS = 100;
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

/** @returns by job id, what is carried over to the next run; jobs without anything are left out. No statement where there can be none. */
export async function readCarriedOver(
  tx: Transaction,
  jobs: readonly LockedJob[],
): Promise<ReadonlyMap<string, CarriedOver>> {
  // Each way back to a worker through a person leaves an attempt uncharged.
  const ids = jobs.filter(({ unchargedAttempts }) => unchargedAttempts > 0).map(({ jobId }) => jobId);
  if (ids.length === 0) return new Map();
  const answers = await tx.$queryRaw<CarriedAnswer[]>`
    ${PREPARE_MARKER} SELECT ${ANSWER_COLUMNS} FROM (
      SELECT *, sum(pg_column_size(answer) + pg_column_size(question)) OVER (ORDER BY rank, request_id) AS total_bytes
      FROM unnest(${ids}::uuid[]) AS claimed(claimed_id), LATERAL (
        SELECT *, row_number() OVER (ORDER BY request_id DESC) AS rank FROM user_input_requests
        WHERE job_id = claimed_id AND answered_at IS NOT NULL ORDER BY request_id DESC LIMIT ${MAX_ANSWERS}) AS answered
    ) AS measured WHERE total_bytes <= ${MAX_ANSWER_BYTES} ORDER BY request_id`;
  const comments = await tx.$queryRaw<{ readonly jobId: string; readonly reviewComment: string }[]>`
    ${PREPARE_MARKER} SELECT job_id AS "jobId", error_message AS "reviewComment"
    FROM unnest(${ids}::uuid[]) AS claimed(claimed_id), LATERAL (
      SELECT * FROM workflow_runs WHERE job_id = claimed_id AND end_reason = 'revised' ORDER BY attempt DESC LIMIT 1) AS run
    WHERE error_message IS NOT NULL`;
  const answersByJob = groupBy(answers, ({ jobId }) => jobId);
  const commentsByJob = new Map(comments.map(({ jobId, reviewComment }) => [jobId, reviewComment]));
  return new Map(
    [...new Set([...answersByJob.keys(), ...commentsByJob.keys()])].map((jobId) => [
      jobId,
      { answers: answersByJob.get(jobId) ?? [], reviewComment: commentsByJob.get(jobId) ?? null },
    ]),
  );
}

/** @returns what of it guards look at. The questions are the workers' own, and were guarded when they were asked. */
export function sourcesOfCarriedOver({ answers, reviewComment }: CarriedOver): GuardContent["sources"] {
  return [
    ...answers.map(({ requestId, answer }) => ({ sourceId: requestId, path: "userAnswers", value: answer })),
    { sourceId: null, path: "reviewComment", value: reviewComment },
  ];
}
