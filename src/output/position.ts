import { asUuid } from "../uuid.ts";

/** A place in a job's output: behind a chunk of an attempt, or behind all of the attempt (`END`). */
export interface OutputPosition {
  readonly attempt: number;
  readonly sequence: number;
}

/** The sequence behind all chunks of an attempt, of which there may be fewer than were told by now: they are deleted. */
export const END = 2 ** 31 - 1;

/** The place before everything. */
export const OUTPUT_START: OutputPosition = { attempt: 0, sequence: 0 };

/** Compares places: negative if `a` comes before `b`, 0 if they are equal, positive otherwise. */
export function compareOutput(a: OutputPosition, b: OutputPosition): number {
  return a.attempt === b.attempt ? a.sequence - b.sequence : a.attempt - b.attempt;
}

/** What a cursor of a job's output says. */
export interface OutputCursor {
  /** The epoch of the log: after a restore, other chunks may lie under the same numbers. */
  readonly epoch: string;
  readonly jobId: string;
  readonly position: OutputPosition;
}

/** Begins every cursor of an output: those of the log begin with a number. */
const FORMAT = "o1";

/** Encodes a cursor: base64url of the format, the epoch, the job, the attempt and the sequence. */
export function encodeOutputCursor({ epoch, jobId, position: { attempt, sequence } }: OutputCursor): string {
  return Buffer.from([FORMAT, epoch, jobId, attempt, sequence].join(" ")).toString("base64url");
}

/** Decodes a cursor; undefined if the text is not one that `encodeOutputCursor` wrote. */
export function decodeOutputCursor(cursor: string): OutputCursor | undefined {
  const [, epoch = "", jobId = "", attempt = "", sequence = ""] = Buffer.from(cursor, "base64url")
    .toString("utf8")
    .split(" ");
  const decoded = { epoch, jobId, position: { attempt: Number(attempt), sequence: Number(sequence) } };
  const isWellFormed =
    asUuid(epoch) === epoch && asUuid(jobId) === jobId && [attempt, sequence].every((n) => /^\d{1,10}$/.test(n));
  const isInRange = decoded.position.attempt <= END && decoded.position.sequence <= END;
  // Of the many spellings of the same bytes, the one that is encoded above is a cursor.
  return isWellFormed && isInRange && encodeOutputCursor(decoded) === cursor ? decoded : undefined;
}
