import { z } from "zod";
import { send, untilHeard } from "../client.ts";
import type { Attempt, Ending } from "./attempt.ts";
import { SubmitResearch } from "./operations.ts";
import { PROMPTS } from "./prompts.ts";
import { QUESTION } from "./protocols.ts";
import { answered, type Finding } from "./question.ts";

/** The work of the parent job: plan, let three children find answers, draft, ask a person, and finish. */

const researchInputs = z.object({ topic: z.string() });
const decision = z.object({ send: z.boolean() });
const MOST_QUESTIONS = 3;

export async function research(attempt: Attempt): Promise<Ending> {
  const { claim } = attempt;
  const { topic } = researchInputs.parse(claim.job.jobInputs);
  const questions = await plan(attempt, topic);
  if (claim.children.length < questions.length || claim.children.some(({ endedAt }) => endedAt === null)) {
    for (const [at, question] of questions.entries()) await submitQuestion(attempt, question, at + 1);
    return { as: "wait for children", reason: "Its questions are being answered." };
  }
  const findings = findingsOf(questions, claim.children);
  const report = await write(attempt, "draft", PROMPTS.draft, textOf(topic, findings));
  const unknownSources = await checkSources(attempt, report, findings);

  const [asked] = claim.userAnswers;
  if (asked === undefined) return { as: "ask", question: whetherToSend(report, unknownSources) };
  if (!decision.parse(asked.answer).send) return { as: "complete", jobOutputs: { report, sent: false } };
  const note = await write(attempt, "final", PROMPTS.final, report);
  return { as: "complete", jobOutputs: { report, note, sent: true } };
}

async function plan({ run, callModel }: Attempt, topic: string): Promise<readonly string[]> {
  const { text } = await callModel(run, "plan", {
    system: PROMPTS.plan,
    messages: [{ role: "user", content: topic }],
  });
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "").slice(0, MOST_QUESTIONS);
}

/** Has the parent's labels. Because of its key, a run that does it again, after a crash in between, makes no second child. */
async function submitQuestion({ api, claim }: Attempt, question: string, number: number): Promise<void> {
  const { jobId } = claim.job;
  const input = {
    jobKind: "WORKFLOW_RUN",
    protocolId: QUESTION,
    parentJobId: jobId,
    jobInputs: { question },
    idempotencyKey: `${jobId}:question-${number}`,
  } as const;
  const answer = await untilHeard(async () => (await send(api, SubmitResearch, { input })).submitAiJob);
  if (answer.__typename !== "SubmitAiJobPayload") throw new Error(`${answer.code}: ${answer.message}`);
}

/** Writes a text while people watch. What an earlier run wrote is put out again: the output of a run before this one is void. */
async function write({ run, output, callModel }: Attempt, nodeId: string, system: string, content: string) {
  const messages = [{ role: "user" as const, content }];
  const { text } = await callModel(run, nodeId, { system, messages, onText: (words) => output.write(words) });
  output.write("\n\n");
  return text;
}

/** A step without a model. @returns the sources that the report names and nobody found: for the person to judge. */
function checkSources({ run }: Attempt, report: string, findings: readonly Finding[]): Promise<readonly string[]> {
  const known = new Set(findings.flatMap(({ sources }) => sources));
  return run.step<readonly string[]>(
    { nodeId: "check-sources", nodeType: "validator", inputPayload: { known: known.size } },
    async () => {
      const named = Array.from(report.matchAll(/\[([^\]]+)\]/g), ([, source = ""]) => source);
      const value = named.filter((source) => !known.has(source));
      return { value, outputPayload: value, metrics: { validatorsRunCount: 1 } };
    },
    (output) => z.array(z.string()).safeParse(output).data,
  );
}

/** In the order of the plan. A question without an answer, since its job failed, has none. */
function findingsOf(questions: readonly string[], children: readonly { readonly jobOutputs: unknown }[]) {
  const all = children.flatMap(({ jobOutputs }) => answered.safeParse(jobOutputs).data ?? []);
  return questions.flatMap((question) => all.find((finding) => finding.question === question) ?? []);
}

function textOf(topic: string, findings: readonly Finding[]): string {
  return [topic, ...findings.map(({ question, answer }) => `${question}\n${answer}`)].join("\n\n");
}

function whetherToSend(report: string, unknownSources: readonly string[]) {
  const properties = { send: { type: "boolean" } };
  return {
    question: "Shall this report be sent?",
    payload: { report, unknownSources },
    answerSchema: { type: "object", properties, required: ["send"], additionalProperties: false },
  };
}
