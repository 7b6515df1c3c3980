import { countTokens } from "./tokens.ts";

export interface ChunkSize {
  /** Tokens that a chunk may have, the overlap not counted. */
  readonly mostTokens: number;
  /** Characters of the chunk before that each chunk begins with, at least. */
  readonly overlap: number;
}

const DEFAULT_SIZE: ChunkSize = { mostTokens: 1200, overlap: 400 };

/** Characters that one piece of a chunk may have: a text without any punctuation is cut here. */
const LONGEST_PIECE = 500;

const sentences = new Intl.Segmenter(undefined, { granularity: "sentence" });
const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/**
 * Cuts a text between sentences into chunks of about equal size. Each begins with the end of the one before: a guard
 * sees one chunk at a time, and words that only the cut takes apart would pass it in two halves.
 */
export function chunksOf(text: string, { mostTokens, overlap }: ChunkSize = DEFAULT_SIZE): readonly string[] {
  const pieces = piecesOf(text).map((piece) => ({ piece, tokens: countTokens(piece) }));
  const chunks: string[] = [];
  let chunk = "";
  let tokens = 0;
  for (const next of pieces) {
    if (tokens > 0 && tokens + next.tokens > mostTokens) {
      chunks.push(chunk);
      chunk = endOf(chunk, overlap);
      tokens = 0;
    }
    chunk += next.piece;
    tokens += next.tokens;
  }
  return tokens > 0 ? [...chunks, chunk] : chunks;
}

/** Never between the two halves of a character: a lone surrogate is no text, and the server refuses it. */
function piecesOf(text: string): readonly string[] {
  return Array.from(sentences.segment(text), ({ segment }) => segment).flatMap((sentence) =>
    sentence.length <= LONGEST_PIECE ? [sentence] : cut(sentence),
  );
}

function cut(sentence: string): readonly string[] {
  const pieces: string[] = [];
  let piece = "";
  for (const { segment } of graphemes.segment(sentence)) {
    if (piece !== "" && piece.length + segment.length > LONGEST_PIECE) {
      pieces.push(piece);
      piece = "";
    }
    piece += segment;
  }
  return [...pieces, piece];
}

function endOf(text: string, length: number): string {
  const end = text.slice(Math.max(0, text.length - length));
  return end.isWellFormed() ? end : end.slice(1);
}
