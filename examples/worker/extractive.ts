import { extract } from "./extract.ts";
import type { Summariser } from "./summariser.ts";
import { countTokens } from "./tokens.ts";

/** Summarises by choosing sentences of the text: needs no model, no network and no key. */
export const extractiveSummariser: Summariser = {
  name: "extractive",
  nodeType: "extraction",
  mostTokens: Number.POSITIVE_INFINITY,
  summarise: async (text) => {
    const summary = extract(text).join("\n");
    return { text: summary, inputTokens: countTokens(text), outputTokens: countTokens(summary) };
  },
};
