import { GraphQLError, type ParseOptions, parse, type Source } from "graphql";
import type { Plugin } from "graphql-yoga";

/** Larger than what anybody writes by hand: values that are larger travel as variables. */
const MOST = { maxSourceLength: 100_000, maxLexicalTokens: 10_000 };

const TOO_DEEP = new GraphQLError("The operation is nested too deeply. Pass large values as variables.", {
  extensions: { code: "INVALID_INPUT" },
});

/**
 * A document costs time before anything can count its fields, and its text stays in the parser's cache: what is too
 * long, or nested beyond the parser's stack, is refused first.
 */
export function useDocumentLimit(): Plugin {
  return {
    onParse({ setParseFn }) {
      setParseFn((source: string | Source, options?: ParseOptions) => {
        try {
          return parse(source, { ...options, ...MOST });
        } catch (error) {
          throw error instanceof RangeError ? TOO_DEEP : error;
        }
      });
    },
  };
}
