import type { GuardedSource } from "../security/guards/guard.ts";

/** The content that a worker read for its steps, which the guards look at (section 7). */

/** How sensitive the source of a snippet is, with what each value means. */
export const SENSITIVITIES = {
  LOW: "Public.",
  MEDIUM: "For internal use.",
  HIGH: "Must not leave the user's machines.",
  UNKNOWN: "Not stated; to be treated as HIGH.",
} as const;

/**
 * A piece of content that a worker read for its step, as raw text [HSK-ACE-VAL-100]. It is guarded, and not stored. What
 * no guard looks at yet still tells two reports with the same `reportId` from each other.
 */
export interface RetrievedSnippet {
  readonly sourceId: string;
  /** The source's hash in its own system. */
  readonly sourceHash?: string | undefined;
  readonly content: string;
  /** How sensitive the source is. */
  readonly sensitivity: keyof typeof SENSITIVITIES;
  /** Whether the source may be exported. */
  readonly exportable: boolean;
}

/** The snippets of a report, with where they are from, and what they read as together. */
export function sourcesOfSnippets(retrievedSnippets: readonly RetrievedSnippet[]): readonly GuardedSource[] {
  const path = (index: number, field: string) => `retrievedSnippets[${index}].${field}`;
  const snippets = retrievedSnippets.flatMap(({ sourceId, sourceHash, content }, index) => [
    { sourceId, path: path(index, "content"), value: content },
    { sourceId, path: path(index, "sourceId"), value: sourceId },
    { sourceId, path: path(index, "sourceHash"), value: sourceHash },
  ]);
  return [...snippets, ...joinedSnippets(retrievedSnippets)];
}

/** How much of the beginning and of the end of a snippet is joined with its neighbours: more than an override is long. */
const JOINED_CHARACTERS = 250;

/**
 * The snippets as one text, since a model reads them so: an override that is parted by the border of two snippets is in neither of
 * them. They are joined as words, and once more as parts of one word, or of one encoded text, where they can be that. Of a long
 * snippet only the ends are joined, because the rest is guarded already.
 */
function joinedSnippets(snippets: readonly RetrievedSnippet[]): readonly GuardedSource[] {
  if (snippets.length < 2) return [];
  const ends = snippets.map(({ content }) =>
    content.length <= 2 * JOINED_CHARACTERS
      ? content
      : `${content.slice(0, JOINED_CHARACTERS)}\n\n${content.slice(-JOINED_CHARACTERS)}`,
  );
  const asWords = ends.join(" ");
  const asParts = ends.reduce((text, next) => `${text}${isWithinWord(text, next) ? "" : " "}${next}`);
  return [...new Set([asWords, asParts])].map((value) => ({
    sourceId: null,
    path: "retrievedSnippets, joined",
    value,
  }));
}

function isWithinWord(before: string, behind: string): boolean {
  return /[\p{L}\p{M}\p{N}+/]$/u.test(before.slice(-2)) && /^[\p{L}\p{M}\p{N}+/=]/u.test(behind);
}
