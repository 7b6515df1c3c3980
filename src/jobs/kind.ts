import { JobKind } from "../db/generated/client/enums.ts";
import { InvalidJobKindError } from "../errors.ts";

/** Values of earlier versions that are still accepted from outside GraphQL (section 2). */
const LEGACY_ALIASES: ReadonlyMap<string, JobKind> = new Map([["term_exec", JobKind.TERMINAL_EXEC]]);

const KIND_BY_DB_VALUE: ReadonlyMap<string, JobKind> = new Map(
  Object.values(JobKind).map((kind) => [kind.toLowerCase(), kind]),
);

/**
 * Parses a job kind that comes from outside GraphQL: a command line, a file, a header. The only parser for it (section 2).
 * @param text the database's value, such as `doc_edit`, or a legacy alias.
 * @throws InvalidJobKindError for any other text; its message names the accepted ones. There is no default.
 */
export function parseJobKind(text: string): JobKind {
  const kind = KIND_BY_DB_VALUE.get(text) ?? LEGACY_ALIASES.get(text);
  if (kind === undefined) throw new InvalidJobKindError(text, [...KIND_BY_DB_VALUE.keys(), ...LEGACY_ALIASES.keys()]);
  return kind;
}
