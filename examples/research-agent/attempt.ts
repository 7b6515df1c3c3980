import type { RequestUserInputInput, ResearchStartMutation } from "../../test/generated/graphql.ts";
import type { Api } from "../client.ts";
import type { Run } from "../worker/run.ts";
import type { CallModel } from "./call-model.ts";
import type { Output } from "./output.ts";

/** What a claim brings: the job, and all that earlier runs, people and children have given it. */
export type Claim = Extract<
  ResearchStartMutation["startWorkflow"],
  { readonly __typename: "StartWorkflowPayload" }
>["claim"];

/** One run of a job: what its work is done with. */
export interface Attempt {
  readonly api: Api;
  readonly claim: Claim;
  readonly run: Run;
  readonly output: Output;
  readonly callModel: CallModel;
}

/**
 * How a run ends. Only a run that completes ends its job: after the others the job waits without a worker, and its next run begins from
 * the top, where every step that is done answers at once.
 */
export type Ending =
  | { readonly as: "complete"; readonly jobOutputs: unknown }
  | { readonly as: "wait for children"; readonly reason: string }
  | { readonly as: "ask"; readonly question: Omit<RequestUserInputInput, "workflowRunId" | "leaseToken"> };
