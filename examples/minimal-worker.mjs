// A worker in plain `fetch`: claims jobs, turns their text into capitals, and ends when no job was due for five seconds.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const { AI_JOB_SERVER_URL: url = "http://127.0.0.1:4000/graphql", AI_JOB_SERVER_KEY: key } = process.env;
const headers = { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) };
const error = "... on Error { code message }";

/** Sends a report until it is answered. Because of its `reportId` it counts once, however often it arrives. */
async function call(name, answer, input) {
  const type = `${name[0].toUpperCase()}${name.slice(1)}Input`;
  const query = `mutation ($input: ${type}!) { ${name}(input: $input) { __typename ${error} ${answer} } }`;
  const body = JSON.stringify({ query, variables: { input } });
  for (let wait = 100; ; wait = Math.min(wait * 2, 5_000)) {
    const sent = fetch(url, { method: "POST", headers, body }).then((response) => response.json());
    const { data, errors } = await sent.catch((cause) => ({ errors: [cause] }));
    // No answer, or the request was refused as a whole, with a code that says why. Otherwise data has the result.
    const refused = errors && { code: errors[0].extensions?.code ?? "TRY_AGAIN", message: errors[0].message };
    const result = refused ?? data[name].results?.[0] ?? data[name]; // of a batch, its one result
    if (!["TRY_AGAIN", "INTERNAL_SERVER_ERROR"].includes(result.code)) return result;
    console.error(`${name}: ${result.message}; sending it again`);
    await sleep(wait);
  }
}

async function work({ leaseToken, workflowRun, job }) {
  const report = (more) => ({ ...workflowRun, leaseToken, reportId: randomUUID(), ...more });
  let isMine = true;
  const beat = setInterval(async () => {
    const answer = "... on HeartbeatWorkflowsPayload { results { directive } }";
    const { directive } = await call("heartbeatWorkflows", answer, { heartbeats: [report()] });
    isMine &&= directive === "CONTINUE";
  }, 10_000); // a third of the default lease
  const advance = async (outcome, more) => {
    const input = report({ step: { nodeId: "shout", nodeType: "tool", outcome }, ...more });
    const answer = await call("advanceWorkflow", "... on AdvanceWorkflowPayload { directive }", input);
    isMine &&= answer.directive === "CONTINUE"; // otherwise cancelled, poisoned, over budget or lease lost: discard
    return answer;
  };
  const text = String(job.jobInputs?.text ?? "");
  let last = await advance("STARTED");
  const retrievedSnippets = [{ sourceId: "jobInputs.text", content: text }];
  if (isMine) last = await advance("SUCCEEDED", { retrievedSnippets, metrics: { inputTokens: text.length } });
  const completions = [report({ jobOutputs: { text: text.toUpperCase() } })];
  const result = `results { __typename ${error} }`;
  if (isMine) last = await call("completeWorkflows", `... on CompleteWorkflowsPayload { ${result} }`, { completions });
  clearInterval(beat);
  if (!["INVALID_INPUT", "GUARD_FAILED"].includes(last.code)) return last.code ?? last.__typename;
  const failures = [report({ errorMessage: last.message, retryable: false })];
  return (await call("failWorkflows", `... on FailWorkflowsPayload { ${result} }`, { failures })).__typename;
}

const selection = "claims { leaseToken workflowRun { workflowRunId } job { jobId jobInputs } } poisoned { jobId }";
const request = { workerId: `minimal-${process.pid}`, limit: 10, waitSeconds: 5 };
for (;;) {
  const claimed = await call("claimAiJobs", `... on ClaimAiJobsPayload { ${selection} }`, request);
  if (claimed.code) throw new Error(claimed.message);
  if (claimed.claims.length + claimed.poisoned.length === 0) break;
  await Promise.all(claimed.claims.map(async (claim) => console.log(claim.job.jobId, await work(claim))));
}
