// A worker in plain `fetch`: claims jobs, has a model turn their text into capitals in three calls, and ends when no job was due for five
// seconds. A job that failed behind its second call makes the third alone when it is tried again.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const { AI_JOB_SERVER_URL: url = "http://127.0.0.1:4000/graphql", AI_JOB_SERVER_KEY: key, MODEL_URL } = process.env;
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

/** What the model is asked for, call by call; without MODEL_URL this is what answers. */
const CALLS = {
  tidy: (text) => text.trim().replace(/\s+/g, " "),
  shout: (text) => text.toUpperCase(),
  proofread: (text) => text.normalize(),
};

/** Calls the model. A run that lost its lease may call it at the same time: whoever dedupes by the key does it once. */
async function ask(jobId, nodeId, text) {
  if (!MODEL_URL) return CALLS[nodeId](text);
  const asked = { method: "POST", headers: { "idempotency-key": `${jobId}:${nodeId}` }, body: text };
  const response = await fetch(`${MODEL_URL}/${nodeId}`, asked);
  if (!response.ok) throw new Error(`${nodeId}: the model answered ${response.status}.`);
  return response.text();
}

const moment = () => [performance.now(), Date.now()]; // a steady clock, and one that goes on while the machine sleeps
const isWithin = (seconds, since) => moment().every((now, clock) => now - since[clock] < seconds * 1000);

async function work({ leaseToken, workflowRun, job, completedNodes }, claimSentAt) {
  const report = (more) => ({ ...workflowRun, leaseToken, reportId: randomUUID(), ...more });
  let [mayGoOn, renewalSentAt, last] = [true, claimSentAt, {}];
  const isMine = () => mayGoOn && isWithin(30, renewalSentAt); // the default lease; the server counts from later on
  const beat = setInterval(async () => {
    const sentAt = moment();
    const answer = "... on HeartbeatWorkflowsPayload { results { directive } }";
    const { directive } = await call("heartbeatWorkflows", answer, { heartbeats: [report()] });
    mayGoOn = isMine() && directive === "CONTINUE";
    renewalSentAt = sentAt;
  }, 10_000); // a third of the lease
  /** @returns whether the run goes on; otherwise it is cancelled, poisoned, over budget, or its lease is lost. */
  const advance = async (step, metrics) => {
    if (isMine())
      last = await call("advanceWorkflow", "... on AdvanceWorkflowPayload { directive }", report({ step, metrics }));
    mayGoOn &&= last.directive === "CONTINUE";
    return isMine();
  };
  const results = `{ results { __typename ${error} } }`;
  const fail = async (errorMessage, retryable) => {
    const failures = [report({ errorMessage, retryable })];
    return (await call("failWorkflows", `... on FailWorkflowsPayload ${results}`, { failures })).__typename;
  };
  try {
    let text = String(job.jobInputs?.text ?? "");
    for (const nodeId of Object.keys(CALLS)) {
      const done = completedNodes.find((node) => node.nodeId === nodeId)?.output; // by an earlier run of the job
      if (done) text = done.text;
      else {
        const step = { nodeId, nodeType: "llm_call" };
        if (!(await advance({ ...step, outcome: "STARTED" }))) break;
        const output = await ask(job.jobId, nodeId, text);
        const usage = [{ provider: "local", model: "capitals", inputTokens: text.length, outputTokens: output.length }];
        if (!(await advance({ ...step, outcome: "SUCCEEDED", outputPayload: { text: output } }, { usage }))) break;
        text = output;
      }
    }
    const completions = [report({ jobOutputs: { text } })];
    if (isMine()) last = await call("completeWorkflows", `... on CompleteWorkflowsPayload ${results}`, { completions });
    return ["INVALID_INPUT", "GUARD_FAILED"].includes(last.code)
      ? await fail(last.message, false)
      : (last.code ?? last.__typename);
  } catch (failure) {
    return await fail(failure.message, true); // the next attempt goes on from the steps that are done
  } finally {
    clearInterval(beat);
  }
}

const claims =
  "claims { leaseToken workflowRun { workflowRunId } job { jobId jobInputs } completedNodes { nodeId output } }";
const request = { workerId: `minimal-${process.pid}`, limit: 10, waitSeconds: 5 };
for (;;) {
  const sentAt = moment();
  const claimed = await call("claimAiJobs", `... on ClaimAiJobsPayload { ${claims} poisoned { jobId } }`, request);
  if (claimed.code) throw new Error(claimed.message);
  if (claimed.claims.length + claimed.poisoned.length === 0) break;
  await Promise.all(claimed.claims.map(async (claim) => console.log(claim.job.jobId, await work(claim, sentAt))));
}
