import type { JobKind, ProgressInput } from "../../test/generated/graphql.ts";
import { Impossible } from "./answers.ts";
import { chunksOf } from "./chunks.ts";
import { inputsOf, meansOf, readDocument } from "./document.ts";
import type { Run } from "./run.ts";
import type { Summariser } from "./summariser.ts";
import { countTokens } from "./tokens.ts";

interface Tools {
  readonly documents: string;
  readonly summariser: Summariser;
}

/**
 * The work of one run: reads the document, has every chunk checked by the server's guards, and only then summarises it.
 */
export async function summariseDocument(
  run: Run,
  { jobKind, jobInputs }: { readonly jobKind: JobKind; readonly jobInputs: unknown },
  { documents, summariser }: Tools,
) {
  const { documentName, text: pasted } = inputsOf(jobInputs);
  const text = pasted ?? (await read(run, documents, documentName, jobKind));
  const chunks = chunksOf(text);
  if (chunks.length === 0) throw new Impossible(`The document ${documentName} is empty.`);
  // A text in the inputs was guarded before this worker got the job.
  if (pasted === undefined) await showToGuards(run, documentName, chunks);
  const summary = await summarise(run, text, chunks, summariser);
  return { documentName, summary, summariser: summariser.name, tokens: countTokens(text), chunks: chunks.length };
}

function read(run: Run, documents: string, documentName: string, jobKind: JobKind): Promise<string> {
  const means = meansOf(jobKind);
  return run.step({ nodeId: "read", nodeType: means, inputPayload: { documentName } }, async () => {
    const value = await readDocument(documents, documentName, means);
    return { value, outputPayload: { characters: value.length }, metrics: { entitiesRead: 1 } };
  });
}

/** All chunks are reported first: an injection in the last one stops the run before a model gets the first one. */
async function showToGuards(run: Run, documentName: string, chunks: readonly string[]): Promise<void> {
  for (const [index, content] of chunks.entries()) {
    const nodeId = `chunk-${index + 1}`;
    // The documents of this example are public. Other workers must state the real sensitivity.
    const snippet = { sourceId: `${documentName}#${nodeId}`, content, sensitivity: "LOW", exportable: true } as const;
    await run.step({ nodeId, nodeType: "retrieval", inputPayload: { of: chunks.length } }, async () => ({
      value: undefined,
      outputPayload: { characters: content.length },
      retrievedSnippets: [snippet],
    }));
  }
}

async function summarise(run: Run, text: string, chunks: readonly string[], summariser: Summariser): Promise<string> {
  if (countTokens(text) <= summariser.mostTokens) return shorten(run, "summarise", text, summariser);
  const summaries: string[] = [];
  for (const [index, chunk] of chunks.entries()) {
    const part = index + 1;
    const progress = {
      fraction: part / (chunks.length + 1),
      message: `Part ${part} of ${chunks.length} is summarised.`,
    };
    summaries.push(await shorten(run, `summarise-${part}`, chunk, summariser, progress));
  }
  return shorten(run, "combine", summaries.join("\n\n"), summariser);
}

/** @param progress how far the run is when this is done. */
function shorten(
  run: Run,
  nodeId: string,
  text: string,
  { nodeType, name, summarise }: Summariser,
  progress?: ProgressInput,
): Promise<string> {
  return run.step(
    { nodeId, nodeType, inputPayload: { summariser: name } },
    async (signal) => {
      const { text: value, inputTokens, outputTokens } = await summarise(text, signal);
      const metrics = { inputTokens, outputTokens, tokensExecutor: inputTokens + outputTokens };
      return { value, outputPayload: { summary: value }, metrics, progress };
    },
    summaryOf,
  );
}

/** The summary that an earlier run of the job has paid for. */
function summaryOf(output: unknown): string | undefined {
  const hasSummary = typeof output === "object" && output !== null && "summary" in output;
  return hasSummary && typeof output.summary === "string" ? output.summary : undefined;
}
