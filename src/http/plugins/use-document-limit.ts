import { GraphQLError, Lexer, type ParseOptions, parse, Source, TokenKind } from "graphql";
import type { Plugin } from "graphql-yoga";

/** Larger than what anybody writes by hand: values that are larger travel as variables. */
const PARSER_LIMITS = { maxSourceLength: 100_000, maxLexicalTokens: 10_000 };
/** Brackets within brackets. Whatever walks a document does so by recursion, and would overflow the stack somewhere. */
const MAX_DEPTH = 200;

const OPENING: ReadonlySet<TokenKind> = new Set([TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L]);
const CLOSING: ReadonlySet<TokenKind> = new Set([TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R]);

/**
 * A document costs time before anything can count its fields, and its text stays in the parser's cache: what is too
 * long, or nested too deeply, is refused first.
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
  // Refused by the parser, with a better sentence.
  if (source.body.length > PARSER_LIMITS.maxSourceLength) return false;
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
    // No token: the parser says what and where.
    return false;
  }
}
