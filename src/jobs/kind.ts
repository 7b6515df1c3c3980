import { JobKind } from "../db/generated/client/enums.ts";
import { InvalidJobKindError } from "../errors.ts";

/** Words of earlier versions, still understood where they come from outside GraphQL. */
const LEGACY_ALIASES: ReadonlyMap<string, JobKind> = new Map([["term_exec", JobKind.TERMINAL_EXEC]]);

const KIND_BY_DB_VALUE: ReadonlyMap<string, JobKind> = new Map(
  Object.values(JobKind).map((kind) => [kind.toLowerCase(), kind]),
);

/**
 * The one parser for a job kind that comes from outside GraphQL: a command line, a file, a header (section 2).
 * @param text the stored word, such as `doc_edit`, or a legacy alias.
 * @throws InvalidJobKindError naming the accepted words; there is no default.
 */
export function parseJobKind(text: string): JobKind {
  const kind = KIND_BY_DB_VALUE.get(text) ?? LEGACY_ALIASES.get(text);
  if (kind === undefined) throw new InvalidJobKindError(text, [...KIND_BY_DB_VALUE.keys(), ...LEGACY_ALIASES.keys()]);
  return kind;
}
