import { randomUUID } from "node:crypto";
import type { Attack } from "./attack.ts";

/** What a worker can bring that is as large as it may be. */

const SUBMIT = `mutation ($json: JSON) { submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "p", jobInputs: $json }) { ... on SubmitAiJobPayload { job { jobId } } } }`;
/** A submit with inputs that are given as text, so that making them costs the attacker little. */
export const submit = (json: string) => `{"query":${JSON.stringify(SUBMIT)},"variables":{"json":${json}}}`;
const START = `mutation ($job: UUID!) { startWorkflow(input: { jobId: $job, workerId: "w" }) { ... on StartWorkflowPayload {
  claim { leaseToken workflowRun { workflowRunId } } } } }`;
const READ = `mutation ($run: UUID!, $token: String!, $content: String!) { advanceWorkflow(input: { workflowRunId: $run, leaseToken: $token,
  step: { nodeId: "n", nodeType: "t", outcome: STARTED }, retrievedSnippets: [{ sourceId: "s", content: $content }] }) { __typename } }`;
const END = `mutation ($run: UUID!, $token: String!) { advanceWorkflow(input: { workflowRunId: $run, leaseToken: $token,
  step: { nodeId: "n", nodeType: "t", outcome: SUCCEEDED } }) { __typename } }`;
const COMPLETE = `mutation ($run: UUID!, $token: String!, $id: UUID!, $json: JSON) { completeWorkflows(input: { completions: [{
  workflowRunId: $run, leaseToken: $token, reportId: $id, jobOutputs: $json }] }) { __typename } }`;

/** A worker that does one job after the other. Each is submitted, guarded and completed with the JSON, which is given as text. */
export function works(name: string, json: string): Attack {
  return {
    name,
    kind: "large",
    once: async ({ ask }) => {
      const [, job] = /"jobId":"([^"]+)"/.exec(await ask(submit(json))) ?? [];
      const started = await ask(JSON.stringify({ query: START, variables: { job } }));
      const [, token, run] = /"leaseToken":"([^"]+)".*"workflowRunId":"([^"]+)"/.exec(started) ?? [];
      if (token === undefined) return;
      await ask(JSON.stringify({ query: READ, variables: { run, token, content: json } }));
      await ask(JSON.stringify({ query: END, variables: { run, token } }));
      const proof = `"run":"${run}","token":"${token}","id":"${randomUUID()}"`;
      await ask(`{"query":${JSON.stringify(COMPLETE)},"variables":{${proof},"json":${json}}}`);
    },
  };
}
