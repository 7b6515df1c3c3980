import type { Child, HandlerResult } from "@ai-job-server/sdk/worker";
import { z } from "zod";
import type { Attempt } from "./attempt.ts";
import { PROMPTS } from "./prompts.ts";
import { QUESTION } from "./protocols.ts";
import { answered, type Finding } from "./question.ts";

/** The work of the parent job: plan, let three children find answers, draft, ask a person, and finish. */

const researchInputs = z.object({ topic: z.string() });
const decision = z.strictObject({ send: z.boolean() });
const MOST_QUESTIONS = 3;

export async function research(attempt: Attempt): Promise<HandlerResult> {
  const { job, ctx } = attempt;
  const { topic } = researchInputs.parse(job.inputs);
  const questions = await plan(attempt, topic);
  for (const question of questions)
    await ctx.children.submit({ jobKind: "WORKFLOW_RUN", protocolId: QUESTION, jobInputs: { question } });
  const findings = findingsOf(questions, await ctx.children.wait());
  const report = await write(attempt, "draft", PROMPTS.draft, textOf(topic, findings));
  const unknownSources = await checkSources(attempt, report, findings);
  const payload = { report, unknownSources };
  const { send } = await ctx.ask("Shall this report be sent?", { schema: decision, payload });
  if (!send) return { outputs: { report, sent: false } };
  const note = await write(attempt, "final", PROMPTS.final, report);
  return { outputs: { report, note, sent: true } };
}

async function plan({ ctx, callModel }: Attempt, topic: string): Promise<readonly string[]> {
  const messages = [{ role: "user" as const, content: topic }];
  const { text } = await callModel(ctx, "plan", { system: PROMPTS.plan, messages });
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "").slice(0, MOST_QUESTIONS);
}

/** Writes a text while people watch. What an earlier run wrote is put out again: the output of a run before this one is void. */
async function write({ ctx, callModel }: Attempt, name: string, system: string, content: string) {
  const messages = [{ role: "user" as const, content }];
  const { text } = await callModel(ctx, name, { system, messages, onText: (words) => ctx.output.write(words) });
  ctx.output.write("\n\n");
  return text;
}

/** A step without a model. @returns the sources that the report names and nobody found: for the person to judge. */
function checkSources({ ctx }: Attempt, report: string, findings: readonly Finding[]): Promise<readonly string[]> {
  const known = [...new Set(findings.flatMap(({ sources }) => sources))];
  return ctx.step("check-sources", { type: "validator", input: { known } }, () => {
    const named = Array.from(report.matchAll(/\[([^\]]+)\]/g), ([, source = ""]) => source);
    return named.filter((source) => !known.includes(source));
  });
}

/** In the order of the plan. A question without an answer, since its job failed, has none. */
function findingsOf(questions: readonly string[], children: readonly Child[]) {
  const all = children.flatMap(({ jobOutputs }) => answered.safeParse(jobOutputs).data ?? []);
  return questions.flatMap((question) => all.find((finding) => finding.question === question) ?? []);
}

function textOf(topic: string, findings: readonly Finding[]): string {
  return [topic, ...findings.map(({ question, answer }) => `${question}\n${answer}`)].join("\n\n");
}
