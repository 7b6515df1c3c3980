import { type ToolSet, tool } from "ai";
import { z } from "zod";
import { readDocuments } from "../demo/documents.ts";

/** A search over the documents of the examples: the tool that the agent gives to the model. */

const MOST_HITS = 3;

const input = z.object({ query: z.string().describe("The words to look for.") });

/** What the model is told of the tool. It has no `execute`: the agent runs it, as a step of its own. */
export const SEARCH_TOOLS: ToolSet = {
  search: tool({ description: "Finds the paragraphs of our documents that have these words.", inputSchema: input }),
};

export interface Hit {
  readonly sourceId: string;
  readonly content: string;
}

/** The paragraphs that have the most of the query's words, best first. What is no query finds nothing. */
export async function search(toolInput: unknown): Promise<readonly Hit[]> {
  const { data } = input.safeParse(toolInput);
  const wanted = wordsOf(data?.query ?? "");
  return (await paragraphs())
    .map((hit) => ({ hit, score: [...wordsOf(hit.content)].filter((word) => wanted.has(word)).length }))
    .filter(({ score }) => score > 0)
    .toSorted((one, other) => other.score - one.score)
    .slice(0, MOST_HITS)
    .map(({ hit }) => hit);
}

/** The hostile documents of the demo are left out: the first search that met one would poison its job. */
async function paragraphs(): Promise<readonly Hit[]> {
  const documents = (await readDocuments()).filter(({ expected }) => expected === "COMPLETED");
  return documents.flatMap(({ name, text }) =>
    text.split(/\n\s*\n/).map((content, at) => ({ sourceId: `${name}#${at + 1}`, content })),
  );
}

function wordsOf(text: string): ReadonlySet<string> {
  return new Set(text.toLowerCase().match(/\p{L}{4,}/gu));
}
