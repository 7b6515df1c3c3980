import { InvalidInputError } from "../errors.ts";
import { MAX_RUN_BYTES, MAX_RUN_CHUNKS } from "./bounds.ts";

/** A piece of what a run puts out, as its worker sends it. */
export interface SentChunk {
  readonly sequence: number;
  readonly text: string;
}

/** What a run has put out so far, as far as a call needs it. */
export interface Stored {
  readonly lastSequence: number;
  readonly totalBytes: number;
  /** The texts that are stored under the sequences of the call. */
  readonly texts: ReadonlyMap<number, string>;
}

/** A chunk to store, with the bytes of its run up to it. */
export interface NextChunk extends SentChunk {
  readonly totalBytes: number;
}

/**
 * Decides what of a call is new. A chunk that is stored already counts once, so that a worker that got no answer sends the same again.
 * @param chunks at least one, with sequences that follow one another.
 * @returns the chunks to store; InvalidInputError where one leaves a gap, differs from what is stored, or is too much.
 */
export function nextChunks(stored: Stored, chunks: readonly SentChunk[]): readonly NextChunk[] | InvalidInputError {
  const outOfOrder = gapBefore(stored.lastSequence, chunks);
  if (outOfOrder) return outOfOrder;
  const next: NextChunk[] = [];
  let { totalBytes } = stored;
  for (const [index, chunk] of chunks.entries()) {
    const path = ["input", "chunks", String(index)];
    if (chunk.sequence <= stored.lastSequence) {
      if (stored.texts.get(chunk.sequence) === chunk.text) continue;
      const message = `Another text has the sequence ${chunk.sequence}. nextSequence is ${stored.lastSequence + 1}.`;
      return new InvalidInputError([...path, "text"], message);
    }
    totalBytes += Buffer.byteLength(chunk.text);
    if (totalBytes > MAX_RUN_BYTES || chunk.sequence > MAX_RUN_CHUNKS) {
      const message = `The output of a run has at most ${MAX_RUN_BYTES} bytes in ${MAX_RUN_CHUNKS} chunks; this would be more.`;
      return new InvalidInputError([...path, "text"], message);
    }
    next.push({ ...chunk, totalBytes });
  }
  return next;
}

/** @returns InvalidInputError where a call's first chunk does not follow what is stored; it names the sequence that would. */
export function gapBefore(lastSequence: number, [first]: readonly SentChunk[]): InvalidInputError | undefined {
  if (first === undefined || first.sequence <= lastSequence + 1) return undefined;
  const message = `Chunks are appended in order, without gaps. nextSequence is ${lastSequence + 1}.`;
  return new InvalidInputError(["input", "chunks", "0", "sequence"], message);
}
