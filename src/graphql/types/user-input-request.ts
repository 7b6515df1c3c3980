import type { CarriedAnswer } from "../../claims/carried-over.ts";
import type { UserInputRequest as Question } from "../../db/generated/client/client.ts";
import { builder } from "../builder.ts";
import { AiJob } from "./ai-job.ts";

export const UserInputRequest = builder.objectRef<Question>("UserInputRequest").implement({
  description: "A worker's question to a person, which its job waits with (section 13).",
  fields: (t) => ({
    requestId: t.expose("requestId", { type: "UUID", description: "The question's id: pass it with the answer." }),
    question: t.exposeString("question", { description: "The question, for a person." }),
    payload: t.expose("payload", {
      type: "JSON",
      nullable: true,
      description: "What belongs to the question, for whoever shows it.",
    }),
    options: t.exposeStringList("options", { description: "The answers to choose from; empty where any will do." }),
    answerSchema: t.expose("answerSchema", {
      type: "JSON",
      nullable: true,
      description: "The JSON Schema (draft 2020-12) that the answer must meet; null for none.",
    }),
    expiresAt: t.expose("expiresAt", {
      type: "DateTime",
      nullable: true,
      description: "When the job fails without an answer, with the reason user_input_timeout; null for never.",
    }),
  }),
});

export const UserAnswer = builder.objectRef<CarriedAnswer>("UserAnswer").implement({
  description: "A person's answer to a worker's question (section 13).",
  fields: (t) => ({
    requestId: t.expose("requestId", { type: "UUID", description: "The question's id." }),
    question: t.exposeString("question", { description: "The question." }),
    answer: t.expose("answer", { type: "JSON", nullable: true, description: "The answer." }),
    answeredBy: t.exposeString("answeredBy", { description: "Who answered: the actor of the event." }),
    answeredAt: t.expose("answeredAt", { type: "DateTime", description: "When it was answered." }),
  }),
});

builder.objectField(AiJob, "userInputRequest", (t) =>
  t.field({
    type: UserInputRequest,
    nullable: true,
    description: "The question that the job waits with; null unless waitsFor is USER_INPUT.",
    resolve: async ({ workspaceId, workflowRunId, waitsFor }, _args, { reads }) => {
      if (waitsFor !== "USER_INPUT" || workflowRunId === null) return null;
      const [question] = await reads.questionOfRun({ workspaceId, id: workflowRunId });
      return question ?? null;
    },
  }),
);
