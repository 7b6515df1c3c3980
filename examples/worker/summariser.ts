/** Summarises a text. */
export interface Summariser {
  /** The id of the model, or the name of the method if there is none. */
  readonly name: string;
  /** The node type of its steps in the log. */
  readonly nodeType: "llm_call" | "extraction";
  /** The largest input in tokens. A longer text is summarised chunk by chunk, and then the summaries are summarised. */
  readonly mostTokens: number;
  /** @param signal aborted when the worker must stop: the result would be discarded. */
  readonly summarise: (text: string, signal: AbortSignal) => Promise<Summary>;
}

export interface Summary {
  readonly text: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
}
