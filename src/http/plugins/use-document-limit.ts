import { GraphQLError, Lexer, type ParseOptions, parse, Source, TokenKind } from "graphql";
import type { Plugin } from "graphql-yoga";

/** Characters of a document: more than anybody writes by hand. Large values belong in variables. */
export const MAX_DOCUMENT_LENGTH = 100_000;
const PARSER_LIMITS = { maxSourceLength: MAX_DOCUMENT_LENGTH, maxLexicalTokens: 10_000 };
/**
 * The deepest nesting of brackets. Parser, validation and execution recurse, and a deeper document could overflow the
 * stack.
 */
const MAX_DEPTH = 200;

const OPENING: ReadonlySet<TokenKind> = new Set([TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L]);
const CLOSING: ReadonlySet<TokenKind> = new Set([TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R]);

/**
 * Refuses a GraphQL document that is too long or nested too deeply, before it is parsed. Complexity limits work only on
 * a parsed document; by then a huge one has cost its time, and its text stays in the parser cache.
 */
export function useDocumentLimit(): Plugin {
  return {
    onParse({ setParseFn }) {
      setParseFn((document: string | Source, options?: ParseOptions) => {
        const source = typeof document === "string" ? new Source(document) : document;
        if (isTooDeep(source)) {
          throw new GraphQLError("The operation is nested too deeply. Pass large values as variables.", {
            extensions: { code: "INVALID_INPUT" },
          });
        }
        return parse(source, { ...options, ...PARSER_LIMITS });
      });
    },
  };
}

function isTooDeep(source: Source): boolean {
  // The parser refuses it with a better message.
  if (source.body.length > MAX_DOCUMENT_LENGTH) return false;
  const lexer = new Lexer(source);
  let depth = 0;
  try {
    while (depth <= MAX_DEPTH) {
      const { kind } = lexer.advance();
      if (kind === TokenKind.EOF) return false;
      if (OPENING.has(kind)) depth += 1;
      if (CLOSING.has(kind)) depth -= 1;
    }
    return true;
  } catch {
    // A syntax error: the parser reports it with its location.
    return false;
  }
}
