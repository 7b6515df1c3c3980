/** What makes a text short. */
export interface Summariser {
  /** A model's id, or how the summary is made without one. */
  readonly name: string;
  /** How its steps are called in the log. */
  readonly nodeType: "llm_call" | "extraction";
  /** Tokens that it takes at once; a longer text is summarised chunk by chunk, and then the summaries are. */
  readonly mostTokens: number;
  /** @param signal aborted when the job is no longer this worker's: whatever is under way is in vain. */
  readonly summarise: (text: string, signal: AbortSignal) => Promise<Summary>;
}

export interface Summary {
  readonly text: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
}
