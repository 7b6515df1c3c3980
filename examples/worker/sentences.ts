/** A sentence of a document with its position, which contributes to its weight. */
export interface Sentence {
  readonly text: string;
  /** Its index in the document, from 0. */
  readonly index: number;
  /** Its index in its paragraph, from 0. */
  readonly inParagraph: number;
  /** Whether it ends like a sentence; a heading, a row of a table or a signature does not. */
  readonly isComplete: boolean;
}

const segmenter = new Intl.Segmenter(undefined, { granularity: "sentence" });

/** Splits a text in any language into sentences, by Unicode's rules, within paragraphs and across wrapped lines. */
export function sentencesOf(text: string): readonly Sentence[] {
  return paragraphsOf(text)
    .flatMap((paragraph) => split(paragraph).map((sentence, inParagraph) => ({ sentence, inParagraph })))
    .map(({ sentence, inParagraph }, index) => ({
      text: sentence,
      index,
      inParagraph,
      isComplete: /[\p{Sentence_Terminal}…]["'”’»」』)\]*_]*$/u.test(sentence),
    }));
}

/** A paragraph ends at a blank line, or before a line that begins a list item, a heading, a quotation or a field. */
function paragraphsOf(text: string): readonly string[] {
  return text
    .replaceAll("\r\n", "\n")
    .replace(/\n(?=[ \t]*(?:[-*•+#>|]|\d+[.)]\s|\p{Lu}[\p{L}-]*:\s))/gu, "\n\n")
    .split(/\n\s*\n/)
    .map((paragraph) => unwrap(paragraph).replace(/^(?:[-*•+>]|#+)\s+/, ""))
    .filter((paragraph) => paragraph !== "");
}

/** Joins the lines of a paragraph: with a space, except between characters of scripts without spaces. */
function unwrap(paragraph: string): string {
  return paragraph
    .trim()
    .replace(/(?<=[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}、。])\s*\n\s*(?=[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}])/gu, "")
    .replace(/\s+/gu, " ");
}

// Unicode's rules end a sentence after "Mr." and after the number of "9. Oktober"; such parts are joined again.
const endsInside = /(?:^|[\s(])(?:\p{Lu}|\d{1,2}|Mrs?|Ms|Dr|Prof|St|Nr|No|vs|etc|bzw|usw|z\. ?B|d\. ?h|e\.g|i\.e)\.$/u;

function split(paragraph: string): readonly string[] {
  const sentences: string[] = [];
  for (const { segment } of segmenter.segment(paragraph)) {
    const piece = segment.trim();
    const last = sentences.at(-1);
    if (last !== undefined && endsInside.test(last)) sentences[sentences.length - 1] = `${last} ${piece}`;
    else if (piece !== "") sentences.push(piece);
  }
  return sentences;
}
