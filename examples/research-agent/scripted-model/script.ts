import { PROMPTS } from "../prompts.ts";

/** What the scripted model says: it plays a model that plans, searches, writes and ends, and it never surprises. */

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

export interface Line {
  readonly text: string;
  /** The words to search for, where the model calls its tool instead of answering. */
  readonly query?: string;
  readonly reasoningTokens: number;
  /** Whether the endpoint may hold the text back halfway (`ScriptedModel.holdDraft`). */
  readonly isDraft: boolean;
}

export const TOPIC =
  "What does a newcomer need to know of the new job queue, of the summariser's cost, and of tidewatch?";

/** The questions of the plan, with what the model then searches for. */
const QUERIES: Readonly<Record<string, string>> = {
  "When does production move to the new job queue?": "production move queue october",
  "How could the cost of the summariser fall?": "summariser tokens saved language reading",
  "How good are the forecasts of tidewatch?": "forecasts compared gauge winter centimetres",
};

/** @throws Error for a prompt that the script does not know. */
export function lineFor(messages: readonly ChatMessage[]): Line {
  const [system = "", first = ""] = messages.map(({ content }) => content);
  const last = messages.at(-1);
  const usual = { reasoningTokens: 0, isDraft: false };
  switch (system) {
    case PROMPTS.plan:
      return { ...usual, text: Object.keys(QUERIES).join("\n"), reasoningTokens: 40 };
    case PROMPTS.question:
      return last?.role === "tool"
        ? { ...usual, text: bestOf(last.content) }
        : { ...usual, text: "", query: QUERIES[first] ?? "harbour" };
    case PROMPTS.draft:
      return { text: reportOf(first), reasoningTokens: 120, isDraft: true };
    case PROMPTS.final:
      return { ...usual, text: "Here is the report that you asked for. Each statement names where it was found." };
    default:
      throw new Error("The script has no line for this prompt.");
  }
}

/** The first two sentences of the paragraph that was found first, with its source. */
function bestOf(found: string): string {
  const [source = "", ...lines] = (found.split("\n\n", 1)[0] ?? "").split("\n");
  const sentences = lines.join(" ").split(/(?<=[.])\s+/);
  return `${sentences.slice(0, 2).join(" ")} ${source}`;
}

/** The findings behind the topic, one paragraph each. */
function reportOf(content: string): string {
  const [, ...findings] = content.split("\n\n");
  const paragraphs = findings.map((finding) => finding.split("\n").slice(1).join(" "));
  return ["This is what our documents say.", ...paragraphs, "Nothing else was found."].join("\n\n");
}
