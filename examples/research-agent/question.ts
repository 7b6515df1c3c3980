import { CannotBeDone, type HandlerResult } from "@ai-job-server/sdk/worker";
import type { ModelMessage } from "ai";
import { z } from "zod";
import type { Attempt } from "./attempt.ts";
import type { Said } from "./call-model.ts";
import { PROMPTS } from "./prompts.ts";
import { type Hit, SEARCH_TOOLS, search } from "./search.ts";

/** The work of a child job: the loop of a model and its tools, in which each call of either is a step of its own. */

const questionInputs = z.object({ question: z.string() });

/** The outputs of the job. */
export const answered = z.object({ question: z.string(), answer: z.string(), sources: z.array(z.string()) });
export type Finding = z.infer<typeof answered>;

/** A model that has not answered after so many calls will not. */
const MOST_TURNS = 5;

export async function answerQuestion({ job, ctx, callModel }: Attempt): Promise<HandlerResult<Finding>> {
  const { question } = questionInputs.parse(job.inputs);
  const messages: ModelMessage[] = [{ role: "user", content: question }];
  const sources = new Set<string>();
  for (let turn = 1; turn <= MOST_TURNS; turn++) {
    const said = await callModel(ctx, `ask-${turn}`, { system: PROMPTS.question, messages, tools: SEARCH_TOOLS });
    if (said.toolCalls.length === 0) return { outputs: { question, answer: said.text, sources: [...sources] } };
    messages.push(messageOf(said));
    for (const [at, { toolCallId, toolName, input }] of said.toolCalls.entries()) {
      const found = await useTool(ctx, `${toolName}-${turn}-${at + 1}`, input);
      for (const { sourceId } of found) sources.add(sourceId);
      const output = { type: "text" as const, value: textOf(found) };
      messages.push({ role: "tool", content: [{ type: "tool-result", toolCallId, toolName, output }] });
    }
  }
  throw new CannotBeDone(`The model searched ${MOST_TURNS} times, and gave no answer.`);
}

/** What the tool found goes to the server's guards before the model sees it: a hostile document ends the job here. */
async function useTool(ctx: Attempt["ctx"], name: string, input: unknown): Promise<readonly Hit[]> {
  const found = await ctx.step(name, { type: "tool", input }, () => search(input));
  // The documents of this example are public. Other agents must state the real sensitivity.
  const shown = found.map((hit) => ({ ...hit, sensitivity: "LOW", exportable: true }) as const);
  if (shown.length > 0) await ctx.snippets(shown);
  return found;
}

function messageOf({ text, toolCalls }: Said): ModelMessage {
  const calls = toolCalls.map((call) => ({ type: "tool-call" as const, ...call }));
  return { role: "assistant", content: text === "" ? calls : [{ type: "text", text }, ...calls] };
}

function textOf(found: readonly Hit[]): string {
  if (found.length === 0) return "Nothing was found.";
  return found.map(({ sourceId, content }) => `[${sourceId}]\n${content}`).join("\n\n");
}
