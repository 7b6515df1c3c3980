import { randomUUID } from "node:crypto";
import { openSync, writeSync } from "node:fs";

/**
 * Writes each request of the kit into the journal, and each answer, as lines.ts says. Loaded before everything else, in the kit's own thread
 * as well, which renews leases: so it is JavaScript, as threads load nothing else. It changes nothing of what is sent and answered.
 */

const file = openSync(process.env.WORKER_JOURNAL, "a");
// If the process before was killed while it wrote a line, that line is incomplete: a new one must begin. Empty lines say nothing.
writeSync(file, "\n");

const write = (line) => writeSync(file, `${JSON.stringify({ ...line, at: moment() })}\n`);
const moment = () => ({ steadyMs: Number(process.hrtime.bigint()) / 1e6, wallMs: Date.now() });
const send = globalThis.fetch;

globalThis.fetch = async (address, init) => {
  const { query = "", variables } = typeof init?.body === "string" ? JSON.parse(init.body) : {};
  const [, operation] = /^(?:mutation|query) (\w+)/.exec(query) ?? [];
  if (operation === undefined) return send(address, init);
  const exchange = randomUUID();
  write({ type: "asked", exchange, operation, variables });
  const response = await send(address, init);
  const text = await response.text();
  const answer = jsonIn(text);
  if (answer !== null) write({ type: "got", exchange, answer });
  const { status, headers } = response;
  return new Response(text, { status, headers });
};

function jsonIn(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
