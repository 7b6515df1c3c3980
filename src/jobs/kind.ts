import { JobKind } from "../db/generated/client/enums.ts";
import { InvalidJobKindError } from "../errors.ts";

/** Words of earlier versions, still understood where they come from outside GraphQL. */
const LEGACY_ALIASES: ReadonlyMap<string, JobKind> = new Map([["term_exec", JobKind.TERMINAL_EXEC]]);

const BY_WORD: ReadonlyMap<string, JobKind> = new Map(Object.values(JobKind).map((kind) => [kind.toLowerCase(), kind]));

/**
 * The one parser for a job kind that comes from outside GraphQL: a command line, a file, a header (section 2).
 * @param word the stored word, such as `doc_edit`, or a legacy alias.
 * @throws InvalidJobKindError naming the accepted words; there is no default.
 */
export function parseJobKind(word: string): JobKind {
  const kind = BY_WORD.get(word) ?? LEGACY_ALIASES.get(word);
  if (kind === undefined) throw new InvalidJobKindError(word, [...BY_WORD.keys(), ...LEGACY_ALIASES.keys()]);
  return kind;
}
