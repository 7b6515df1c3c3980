import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";

/** What a client can do to keep a server busy or to fill its memory. Each goes on until it is told to stop. */
export interface Attack {
  readonly name: string;
  /** What must hold for another client meanwhile: `refused` can be told from a legitimate request at little cost. */
  readonly kind: "refused" | "large";
  /** Sends one request after the other over one connection. */
  readonly once: (connection: Connection) => Promise<void>;
}

/** One connection of the attacker. */
export interface Connection {
  readonly url: string;
  /** A number that no other request has. */
  readonly next: () => number;
  readonly post: (body: string) => Promise<void>;
  /** @returns what is answered. */
  readonly ask: (body: string) => Promise<string>;
}

const JOB = "00000000-0000-4000-8000-000000000000";
const KB = 1_000;
const MB = 1_000_000;
const many = (count: number, of: (index: number) => string, between = ",") =>
  Array.from({ length: count }, (_, index) => of(index)).join(between);

const SUBMIT = `mutation ($json: JSON) { submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "p", jobInputs: $json }) { __typename } }`;
/** A submit with inputs that are given as text, so that making them costs the attacker little. */
const submit = (json: string) => `{"query":${JSON.stringify(SUBMIT)},"variables":{"json":${json}}}`;
const document = (text: string, number: number) => JSON.stringify({ query: `${text} #${number}` });
const SNIPPETS = `mutation ($snippets: [RetrievedSnippetInput!]!) { advanceWorkflow(input: { workflowRunId: "${JOB}",
  leaseToken: "${"A".repeat(43)}", step: { nodeId: "n", nodeType: "t", outcome: STARTED }, retrievedSnippets: $snippets }) { __typename } }`;
const CLAIM = `mutation ($worker: String!) { claimAiJobs(input: { workerId: $worker, limit: 1 }) { ... on ClaimAiJobsPayload {
  claims { leaseToken workflowRun { workflowRunId } } } } }`;
const READ = `mutation ($run: UUID!, $token: String!, $content: String!) { advanceWorkflow(input: { workflowRunId: $run, leaseToken: $token,
  step: { nodeId: "n", nodeType: "t", outcome: STARTED }, retrievedSnippets: [{ sourceId: "s", content: $content }] }) { __typename } }`;
const FAIL = `mutation ($run: UUID!, $token: String!) { failWorkflows(input: { failures: [{ workflowRunId: $run, leaseToken: $token,
  errorMessage: "enough", retryable: false }] }) { __typename } }`;
const COMPLETE = `mutation ($run: UUID!, $token: String!, $id: UUID!, $json: JSON) { completeWorkflows(input: { completions: [{
  workflowRunId: $run, leaseToken: $token, reportId: $id, jobOutputs: $json }] }) { __typename } }`;
const requestOf = (query: string, variables: object) => JSON.stringify({ query, variables });
const REFS = `mutation ($refs: [EntityRefInput!]!) { submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "p", entityRefs: $refs }) { __typename } }`;
const STATES = `query ($states: [JobState!]) { aiJobs(filter: { states: $states }) { totalCount } }`;

const texts = {
  longKey: `{${JSON.stringify("k".repeat(3_900 * KB))}:1}`,
  ligatures: JSON.stringify("\uFDFA".repeat(1_300 * KB)),
  marks: JSON.stringify("a\u0301\u0302\u0303".repeat(550 * KB)),
  nearPatterns: JSON.stringify("ignore all the previous ".repeat(160 * KB)),
  keys: `{${many(99 * KB, (index) => `"key ${index}":"a text of some length"`)}}`,
  values: `[${many(90 * KB, (index) => `"text ${index} of some length that fills the document"`)}]`,
};

const posts = (name: string, kind: Attack["kind"], body: (number: number) => string): Attack => ({
  name,
  kind,
  once: ({ next, post }) => post(body(next())),
});

/** A worker that takes one job after the other; each is submitted, claimed and reported with the JSON, which is given as text. */
const works = (name: string, json: string): Attack => ({
  name,
  kind: "large",
  once: async ({ next, ask }) => {
    const worker = `worker ${next()}`;
    await ask(submit(json));
    const claimed = await ask(requestOf(CLAIM, { worker }));
    const [, token, run] = /"leaseToken":"([^"]+)".*"workflowRunId":"([^"]+)"/.exec(claimed) ?? [];
    if (token === undefined) return;
    const id = randomUUID();
    await ask(requestOf(READ, { run, token, content: json }));
    await ask(requestOf(FAIL, { run, token }));
    await ask(
      `{"query":${JSON.stringify(COMPLETE)},"variables":{"run":"${run}","token":"${token}","id":"${id}","json":${json}}}`,
    );
  },
});

export const ATTACKS: readonly Attack[] = [
  posts("distinct refused documents of 20 kB", "refused", (n) => document(`{ ${"x ".repeat(9_900)} }`, n)),
  posts("distinct refused bodies of 4.9 MB", "refused", (n) =>
    document(`{ __typename } #${"x".repeat(4_900 * KB)}`, n),
  ),
  posts("1.3 million {} in the inputs", "refused", () => submit(`[${many(1_300 * KB, () => "{}")}]`)),
  posts("330,000 keys in the inputs", "refused", () => submit(`{${many(330 * KB, (i) => `"k${i}":1`)}}`)),
  posts("970,000 texts in the inputs", "refused", () => submit(`[${many(970 * KB, () => '"a"')}]`)),
  posts("JSON of 2 million levels", "refused", () => submit("[".repeat(2 * MB) + "]".repeat(2 * MB))),
  posts(
    "40,000 snippets",
    "refused",
    () =>
      `{"query":${JSON.stringify(SNIPPETS)},"variables":{"snippets":[${many(40 * KB, (i) => `{"sourceId":"${i}","content":"a"}`)}]}}`,
  ),
  posts(
    "100,000 bad entities",
    "refused",
    () => `{"query":${JSON.stringify(REFS)},"variables":{"refs":[${many(100 * KB, () => '{"entityKind":1}')}]}}`,
  ),
  posts(
    "400,000 bad enum words",
    "refused",
    () => `{"query":${JSON.stringify(STATES)},"variables":{"states":[${many(400 * KB, () => '"NOPE"')}]}}`,
  ),
  posts("one field 1,200 times", "refused", (n) => document(`{ ${"aiJobs { nodes { jobId } } ".repeat(1_200)} }`, n)),
  posts("450 aliases that conflict", "refused", (n) =>
    document(`{ ${many(450, (i) => `a: aiJob(jobId: "${i}") { state }`, " ")} }`, n),
  ),
  posts("3,300 aliases", "refused", (n) => document(`{ ${many(3_300, (i) => `a${i}: __typename`, " ")} }`, n)),
  posts("as many fields as a document may have", "refused", (n) =>
    document(`{ ${"aiJobs { nodes { jobId } } ".repeat(280)} }`, n),
  ),
  posts("a list literal of 9,900", "refused", (n) =>
    document(`{ aiJobs(filter: { states: [${"QUEUED ".repeat(9_900)}] }) { totalCount } }`, n),
  ),
  {
    name: "pings of 1 MB that are not read",
    kind: "refused",
    once: async ({ url }) => {
      const socket = await acknowledged(url);
      socket.pause();
      const ping = JSON.stringify({ type: "ping", payload: { text: "x".repeat(MB) } });
      for (let count = 0; count < 50 && socket.readyState === socket.OPEN; count++) {
        await new Promise((resolve) => socket.send(ping, resolve));
      }
      socket.terminate();
    },
  },
  {
    name: "subscribe and complete on one socket",
    kind: "refused",
    once: async ({ url, next }) => {
      const socket = await acknowledged(url);
      const query = `subscription { aiJobChanged(jobId: "${JOB}") { version } }`;
      for (let count = 0; count < 20_000 && socket.readyState === socket.OPEN; count++) {
        const id = String(next());
        socket.send(JSON.stringify({ id, type: "subscribe", payload: { query } }));
        socket.send(JSON.stringify({ id, type: "complete" }));
        if (socket.bufferedAmount > MB) await sleep(10);
      }
      socket.terminate();
    },
  },
  posts("one long key of 3.9 MB", "large", () => submit(texts.longKey)),
  posts("3.9 MB of U+FDFA", "large", () => submit(texts.ligatures)),
  posts("3.9 MB of combining marks", "large", () => submit(texts.marks)),
  posts("3.9 MB of near-patterns", "large", () => submit(texts.nearPatterns)),
  posts("3.9 MB of 90,000 texts", "large", () => submit(texts.values)),
  posts("3.9 MB of 99,000 keys", "large", () => submit(texts.keys)),
  works("near-patterns of 3.9 MB in inputs, snippet and outputs", texts.nearPatterns),
  works("90,000 texts in inputs, snippet and outputs", texts.values),
  works("99,000 keys in inputs, snippet and outputs", texts.keys),
];

async function acknowledged(url: string): Promise<WebSocket> {
  const socket = new WebSocket(url.replace("http", "ws"), "graphql-transport-ws");
  socket.on("error", () => undefined);
  await once(socket, "open");
  socket.send('{"type":"connection_init"}');
  await once(socket, "message");
  return socket;
}

/** A connection that is kept, over which one request follows the other; whatever is answered is read and dropped. */
export function connectionTo(url: string, next: () => number): Connection {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (body: string) =>
    new Promise<string>((resolve) => {
      const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
      const sent = request(url, { method: "POST", agent, headers }, (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("close", () => resolve(Buffer.concat(parts).toString()));
      });
      // A server may close a connection rather than read on.
      sent.on("error", () => resolve(""));
      sent.end(body);
    });
  return { url, next, ask, post: async (body) => void (await ask(body)) };
}
