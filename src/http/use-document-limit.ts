import { GraphQLError } from "graphql";
import type { Plugin } from "graphql-yoga";

/** Larger than what anybody writes by hand: values that are larger travel as variables. */
const MOST = { characters: 100_000, tokens: 10_000 };

/**
 * A document costs time before anything can count its fields, and its text stays in the parser's cache: what is too
 * long, or nested beyond the parser's stack, is refused first.
 */
export function useDocumentLimit(): Plugin {
  return {
    onParse({ parseFn, setParseFn }) {
      setParseFn((source, options) => {
        const text = typeof source === "string" ? source : source.body;
        if (text.length > MOST.characters) throw refusal(`is longer than ${MOST.characters} characters`);
        try {
          return parseFn(source, { ...options, maxTokens: MOST.tokens });
        } catch (error) {
          throw error instanceof RangeError ? refusal("is nested too deeply") : error;
        }
      });
    },
  };
}

function refusal(fault: string): GraphQLError {
  return new GraphQLError(`The operation ${fault}. Pass large values as variables.`, {
    extensions: { code: "INVALID_INPUT" },
  });
}
