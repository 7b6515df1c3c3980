// A worker in plain `fetch`: takes jobs, says them louder, and ends when nothing was due for five seconds.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const url = process.argv[2] ?? "http://127.0.0.1:4000/graphql";
const headers = { "content-type": "application/json" };
const error = "... on Error { code message }";

/** Sends a report until it is answered: with its `reportId` it counts once, however often it arrives. */
async function call(name, answer, input) {
  const type = `${name[0].toUpperCase()}${name.slice(1)}Input`;
  const query = `mutation ($input: ${type}!) { ${name}(input: $input) { __typename ${error} ${answer} } }`;
  const body = JSON.stringify({ query, variables: { input } });
  for (let wait = 100; ; wait = Math.min(wait * 2, 5_000)) {
    try {
      const response = await fetch(url, { method: "POST", headers, body });
      const { data, errors } = await response.json();
      if (errors) throw new Error(errors[0].message);
      if (data[name].code !== "TRY_AGAIN") return data[name];
    } catch (cause) {
      console.error(`${name}: ${cause.message}; sending it again`);
    }
    await sleep(wait);
  }
}

async function work({ leaseToken, workflowRun, job }) {
  const report = (more) => ({ ...workflowRun, leaseToken, reportId: randomUUID(), ...more });
  let isMine = true;
  const beat = setInterval(async () => {
    const answer = "... on HeartbeatWorkflowsPayload { results { directive } }";
    const { results } = await call("heartbeatWorkflows", answer, { heartbeats: [report()] });
    isMine &&= results?.[0].directive === "CONTINUE";
  }, 10_000);
  const advance = async (outcome, more) => {
    const step = { nodeId: "shout", nodeType: "tool", outcome };
    const payload = "... on AdvanceWorkflowPayload { directive }";
    const answer = await call("advanceWorkflow", payload, report({ step, ...more }));
    isMine &&= answer.directive === "CONTINUE"; // else cancelled, poisoned, over budget, lease lost: drop all of it
    return answer;
  };
  const text = String(job.jobInputs?.text ?? "");
  let last = await advance("STARTED");
  const retrievedSnippets = [{ sourceId: "jobInputs.text", content: text }];
  if (isMine) last = await advance("SUCCEEDED", { retrievedSnippets, metrics: { inputTokens: text.length } });
  clearInterval(beat);
  if (!isMine) return last;
  const completions = [report({ jobOutputs: { text: text.toUpperCase() } })];
  const answer = `... on CompleteWorkflowsPayload { results { __typename ${error} } }`;
  return (await call("completeWorkflows", answer, { completions })).results?.[0];
}

const claim =
  "... on ClaimAiJobsPayload { claims { leaseToken workflowRun { workflowRunId } job { jobId jobInputs } } }";
const wanted = { workerId: `minimal-${process.pid}`, limit: 10, waitSeconds: 5 };
for (;;) {
  const { claims = [] } = await call("claimAiJobs", claim, wanted);
  if (claims.length === 0) break;
  await Promise.all(claims.map(async (one) => console.log(one.job.jobId, (await work(one))?.__typename)));
}
