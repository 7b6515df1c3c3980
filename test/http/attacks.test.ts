import { fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { ATTACKS } from "../../bench/attacks/attacks.ts";
import { paceHere } from "../support/pace.ts";
import { heldUp, type SpawnedServer, spawnServer } from "../support/spawn-server.ts";

/**
 * A twentieth of bench/attacks.ts: a third of a second of each attack, one after the other on one server, while another client reads a job.
 * The bounds scale with the machine's pace, and leave out the time for which other processes had its processors; figures come from the
 * benchmark.
 */

const SECONDS = 0.3;
/** Milliseconds that the other client waits for the slowest of its answers, on the reference machine. */
const MAX_MS = { refused: 1_500, large: 5_000 };
const ATTACKER = fileURLToPath(new URL("../../bench/attacks/attacker.ts", import.meta.url));

let server: SpawnedServer;
let url: string;
beforeAll(async () => {
  server = spawnServer({ DATABASE_URL: "memory:", LOG_LEVEL: "info" });
  url = `${(await server.url).replace(/\/graphql$/, "")}/graphql`;
});
afterAll(() => server.end("SIGTERM"));

const messages = z.object({ name: z.string(), answers: z.record(z.string(), z.number()).optional() });
const submitted = z.object({ data: z.object({ submitAiJob: z.object({ job: z.object({ jobId: z.string() }) }) }) });

/** For how many milliseconds the two sides of a request have waited for a processor. */
function heldUpHere(): number {
  return server.heldUp() + heldUp(process.pid);
}

async function ask(query: string): Promise<unknown> {
  const headers = { "content-type": "application/json" };
  return (await fetch(url, { method: "POST", headers, body: JSON.stringify({ query }) })).json();
}

test("every attack is refused or borne, and another client is answered meanwhile", async () => {
  const SUBMIT =
    'mutation { submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "p" }) { ... on SubmitAiJobPayload { job { jobId } } } }';
  const { jobId } = submitted.parse(await ask(SUBMIT)).data.submitAiJob.job;
  const read = `{ aiJob(jobId: "${jobId}") { state } }`;
  let current = "";
  // The attacks that were under way while the other client waited for its present answer: a short one may begin and end in that time.
  let met = new Set<string>();
  const latencies = new Map<string, number[]>();
  const answers = new Map<string, Readonly<Record<string, number>>>();
  const attacker = fork(ATTACKER, [url, String(SECONDS), ...ATTACKS.map(({ name }) => name)], {
    execArgv: ["--import", "tsx"],
  });
  attacker.on("message", (message) => {
    const told = messages.parse(message);
    current = told.answers ? "" : told.name;
    met.add(current);
    if (told.answers) answers.set(told.name, told.answers);
  });
  let isOver = false;
  const ended = once(attacker, "exit").then(() => {
    isOver = true;
  });
  while (!isOver) {
    const [start, heldUpBefore] = [performance.now(), heldUpHere()];
    met = new Set([current]);
    expect(await ask(read)).toEqual({ data: { aiJob: { state: "QUEUED" } } });
    const latency = performance.now() - start - (heldUpHere() - heldUpBefore);
    for (const attack of met) latencies.set(attack, [...(latencies.get(attack) ?? []), latency]);
    await sleep(5);
  }
  await ended;

  const pace = paceHere();
  const faults = ATTACKS.flatMap(({ name, kind, isAnswered }) => {
    const { 0: closed = 0, 2: accepted = 0, 4: refused = 0, 5: failed = 0 } = answers.get(name) ?? {};
    // What blocks the server for seconds shows in a single answer.
    const slow = Math.max(...(latencies.get(name) ?? [Number.POSITIVE_INFINITY]));
    const mayBeAnswered = kind === "large" || isAnswered === true || closed + accepted + refused + failed === 0;
    const isRefused = mayBeAnswered || (accepted === 0 && closed + refused > 0);
    return failed === 0 && isRefused && slow < MAX_MS[kind] * pace && answers.has(name)
      ? []
      : [{ name, closed, accepted, refused, failed, slow }];
  });
  expect(faults).toEqual([]);
  expect(server.logged.filter((line) => /"level":(40|50|60)/.test(line))).toEqual([]);
  expect(await ask("{ __typename }")).toEqual({ data: { __typename: "Query" } });
}, 300_000);
