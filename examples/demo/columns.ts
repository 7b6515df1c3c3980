const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** The width of a text in terminal columns: East Asian wide characters take two. */
export function widthOf(text: string): number {
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += columnsOf(segment);
  return width;
}

function columnsOf(grapheme: string): number {
  return /^[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Hang}\u3000-\u303f\uff00-\uff60\p{Emoji_Presentation}]/u.test(
    grapheme,
  )
    ? 2
    : 1;
}

/** The text in exactly this many columns: truncated with an ellipsis, or padded. */
export function fit(text: string, columns: number): string {
  const short = cut(text, columns);
  return short + " ".repeat(Math.max(0, columns - widthOf(short)));
}

/** The text in at most this many columns, as a single line without control characters that would move the cursor. */
export function cut(text: string, columns: number): string {
  const line = text.replace(/[\p{Cc}\p{Bidi_Control}\s]+/gu, " ").trim();
  if (widthOf(line) <= columns) return line;
  let short = "";
  let width = 0;
  for (const { segment } of graphemes.segment(line)) {
    width += columnsOf(segment);
    if (width > columns - 1) break;
    short += segment;
  }
  return `${short}…`;
}
