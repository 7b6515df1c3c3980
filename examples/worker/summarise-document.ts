import { createHash } from "node:crypto";
import { CannotBeDone, type ClaimedJob, type HandlerResult, type RunContext } from "@ai-job-server/sdk/worker";
import { chunksOf } from "./chunks.ts";
import { type DocumentInputs, meansOf, readDocument } from "./document.ts";
import type { Summariser } from "./summariser.ts";
import { countTokens } from "./tokens.ts";

export interface Tools {
  /** The folder from which documents are read. */
  readonly documents: string;
  readonly summariser: Summariser;
}

/**
 * The work of one run: reads the document, has every chunk checked by the server's guards, and only then summarises it.
 */
export async function summariseDocument(
  job: ClaimedJob<DocumentInputs>,
  ctx: RunContext,
  { documents, summariser }: Tools,
): Promise<HandlerResult> {
  const { documentName, text: pasted } = job.inputs;
  const text = pasted ?? (await read(job, ctx, documents));
  const chunks = chunksOf(text);
  if (chunks.length === 0) throw new CannotBeDone(`The document ${documentName} is empty.`);
  // A text in the inputs was guarded before this worker got the job.
  if (pasted === undefined) await showToGuards(ctx, documentName, chunks);
  const summary = await summarise(ctx, text, chunks, summariser);
  return {
    outputs: { documentName, summary, summariser: summariser.name, tokens: countTokens(text), chunks: chunks.length },
  };
}

async function read({ jobKind, inputs }: ClaimedJob<DocumentInputs>, ctx: RunContext, documents: string) {
  const { documentName } = inputs;
  const type = meansOf(jobKind);
  let text: string | undefined;
  await ctx.step("read", { type, input: { documentName } }, async (s) => {
    text = await readDocument(documents, documentName, type);
    s.reportMetrics({ entitiesRead: 1 });
    // What a step returns is kept, and the text is to be kept nowhere but in its folder.
    return { characters: text.length };
  });
  // Where an earlier run has done the step, it is read again.
  return text ?? readDocument(documents, documentName, type);
}

/** All chunks are reported first: an injection in the last one stops the run before a model gets the first one. */
async function showToGuards(ctx: RunContext, documentName: string, chunks: readonly string[]): Promise<void> {
  for (const [index, content] of chunks.entries()) {
    const sourceId = `${documentName}#chunk-${index + 1}`;
    // The documents of this example are public. Other workers must state the real sensitivity.
    await ctx.snippets([{ sourceId, content, sensitivity: "LOW", exportable: true }]);
  }
}

async function summarise(ctx: RunContext, text: string, chunks: readonly string[], summariser: Summariser) {
  if (countTokens(text) <= summariser.mostTokens) return shorten(ctx, "summarise", text, summariser);
  const summaries: string[] = [];
  for (const [index, chunk] of chunks.entries()) {
    const part = index + 1;
    summaries.push(await shorten(ctx, `summarise-${part}`, chunk, summariser));
    ctx.progress(part / (chunks.length + 1), `Part ${part} of ${chunks.length} is summarised.`);
  }
  return shorten(ctx, "combine", summaries.join("\n\n"), summariser);
}

/** A step of its own: the summary that an earlier run of the job has paid for is not made again, unless the text is another one. */
async function shorten(ctx: RunContext, step: string, text: string, { nodeType, name, summarise }: Summariser) {
  const input = { summariser: name, sha256: createHash("sha256").update(text).digest("hex") };
  const options = { type: nodeType, input, provider: "summariser", countTokensAs: "executor" } as const;
  const { summary } = await ctx.step(step, options, async (s) => {
    const { text: summary, inputTokens, outputTokens } = await summarise(text, s.signal);
    s.countUsage({ model: name, usage: { prompt_tokens: inputTokens, completion_tokens: outputTokens } });
    return { summary };
  });
  return summary;
}
