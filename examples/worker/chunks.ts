import { countTokens } from "./tokens.ts";

export interface ChunkSize {
  /** The largest number of tokens in a chunk, without the overlap. */
  readonly mostTokens: number;
  /** The smallest number of characters from the end of a chunk that the next one begins with. */
  readonly overlap: number;
}

const DEFAULT_SIZE: ChunkSize = { mostTokens: 1200, overlap: 400 };

/** The largest piece of a chunk, in characters: a text without punctuation is cut at this length. */
const LONGEST_PIECE = 500;

const sentences = new Intl.Segmenter(undefined, { granularity: "sentence" });
const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/**
 * Cuts a text between sentences into chunks of about equal size. Each begins with the end of the one before, because
 * guards check one chunk at a time: without the overlap, an injection that lies across a cut would not be found.
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

/** Never cuts between the two surrogates of a character: the server refuses a lone surrogate. */
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
