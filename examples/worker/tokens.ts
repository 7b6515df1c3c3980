import { countTokens as count } from "gpt-tokenizer/encoding/o200k_base";

/**
 * The number of tokens in a text, by the encoding of current OpenAI models. A document may contain the name of a
 * control token, such as `<|endoftext|>`; it is counted as ordinary text.
 */
export function countTokens(text: string): number {
  return count(text, { disallowedSpecial: new Set() });
}
