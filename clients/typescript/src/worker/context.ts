import { createHash, randomBytes } from "node:crypto";
import type { ModelUsageInput, RetrievedSnippetInput } from "../api/generated.ts";
import type { Children } from "./children.ts";
import type { Claim } from "./job.ts";
import type { Stored } from "./json.ts";
import type { Output } from "./output.ts";
import type { AskOptions } from "./questions.ts";
import type { StepContext, StepOptions } from "./steps.ts";

/** What a handler gets beside its job: everything that it may say or ask while it works. */
export interface RunContext {
  /** Aborted when the run must stop; its reason says why: Stopped, GivenBack or Waiting. Pass it on to everything that takes long. */
  readonly signal: AbortSignal;
  /** Which attempt at the job this is, from 1. */
  readonly attempt: number;
  /** What the person said who last sent the job back; null where nobody did. Steps from before that are done anew. */
  readonly reviewComment: string | null;
  /** The W3C trace context of the job, to be sent on as the header `traceparent`. */
  readonly traceparent: string;
  /** The children of the job. */
  readonly children: Pick<Children, "submit" | "wait">;
  /** What people see while the run goes on. */
  readonly output: Pick<Output, "write">;
  /**
   * Does a step, once: a step that an earlier run of the job has done with the same input answers at once with what that one returned, so what is
   * between the steps must come out the same each time. What a step returns is stored as JSON, up to 256 KiB, and returned as it is stored.
   * @param name a name of its own; one that comes again is another step.
   */
  readonly step: <T>(
    name: string,
    options: StepOptions,
    work: (context: StepContext) => T | Promise<T>,
  ) => Promise<Stored<T>>;
  /**
   * Asks a person. Where there is no answer yet, the run ends here, no worker is bound meanwhile, and the handler is called again, from its beginning,
   * when it is there.
   */
  readonly ask: <Answer = unknown>(question: string, options?: AskOptions<Answer>) => Promise<Answer>;
  /** Gives the job back: the next worker goes on from the steps that are done, and nothing is charged. */
  readonly release: (reason: string) => Promise<never>;
  /** Waits for a time without a worker: where it is ahead, the run ends here, and the handler is called again then. */
  readonly sleepUntil: (time: Date) => Promise<void>;
  /** Says how far the run is; as often as you like. */
  readonly progress: (fraction: number | null, message?: string) => void;
  /**
   * Shows the server's guards what was read, before a model sees it.
   * @returns the texts, once the guards have let them pass; otherwise the job is poisoned, and the signal aborted.
   */
  readonly snippets: (snippets: readonly RetrievedSnippetInput[]) => Promise<readonly string[]>;
  /** Counts a call of a model that belongs to no step. */
  readonly reportUsage: (usage: ModelUsageInput) => void;
}

/** @returns the trace context of a job: its trace, and a span of this run. */
export function traceparentOf({ job }: Claim): string {
  return `00-${job.traceId.replaceAll("-", "")}-${randomBytes(8).toString("hex")}-01`;
}

/** What tells snippets from others, without their texts. */
export function inputOfSnippets(snippets: readonly RetrievedSnippetInput[]): unknown {
  return snippets.map(({ sourceId, content }) => ({
    sourceId,
    sha256: createHash("sha256").update(content).digest("hex"),
  }));
}
