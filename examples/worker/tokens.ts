import { countTokens as count } from "gpt-tokenizer/encoding/o200k_base";

/**
 * How many tokens a text is, by the encoding of current OpenAI models. A document may contain the name of a control
 * token, such as `<|endoftext|>`: here that is text like any other.
 */
export function countTokens(text: string): number {
  return count(text, { disallowedSpecial: new Set() });
}
