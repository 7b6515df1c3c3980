/**
 * Can one client take the server from the others? Lets each attack run for 10 s over two connections against a fresh server, while
 * another client reads a job by its id, and looks at the server's memory a minute later. Run with `npx tsx bench/attacks.ts`;
 * `npx tsx bench/attacks.ts 1 5` takes a second for each and looks after five; `npx tsx bench/attacks.ts 10 60 pings` runs those
 * whose name has the word in it. AUTH=required lets the server ask who calls, with its rates: attacker and client have a key each.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { Agent } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Attack } from "./attacks/attack.ts";
import { ATTACKS } from "./attacks/attacks.ts";
import { withDatabase } from "./support/database.ts";
import { bar, machine, quantile, table } from "./support/figures.ts";
import { addJobs, someJobIds } from "./support/jobs.ts";
import { keyOf, OPERATOR_KEY } from "./support/keys.ts";
import { type Operation, post } from "./support/load.ts";
import { type Server, startOurs } from "./support/servers.ts";

const [seconds = 10, waitSeconds = 60] = process.argv.slice(2, 4).map(Number);
/** A part of the names of the attacks that are run; left out, all are. */
const [part = ""] = process.argv.slice(4);
const ATTACKER = fileURLToPath(new URL("attacks/attacker.ts", import.meta.url));
/** What cannot be refused may take this long, in milliseconds; what can, this many times as long as on a quiet server. */
const MAX = { large: 60, refused: 3, memory: 1.1 };

const hasAuth = process.env.AUTH === "required";
let attackerKey: string | undefined;

const rows: string[][] = [];
const bars: string[] = [];
console.log(`## A second client while ${seconds} s of each attack come over two connections\n\n${machine()}\n`);
for (const attack of ATTACKS.filter(({ name }) => name.includes(part))) {
  await withDatabase(async (databaseUrl, sql, env) => {
    const settings = hasAuth ? { ...env, OPERATOR_KEY } : {};
    const server = await startOurs(databaseUrl, [], undefined, settings);
    try {
      const headers: Record<string, string> = hasAuth ? { authorization: `Bearer ${await keyOf(server)}` } : {};
      attackerKey = hasAuth ? await keyOf(server) : undefined;
      await addJobs(sql, 1_000);
      const [jobId] = await someJobIds(sql, 1);
      const read = {
        query: "query ($id: UUID!) { aiJob(jobId: $id) { state } }",
        variables: () => ({ id: jobId }),
        answer: "state",
        headers,
      };
      await measure(server, attack, read);
    } finally {
      await server.stop();
    }
  });
}
console.log(
  `${table(["attack", "p99 quiet, ms", "p99 attacked", "times", "MB after a first round", "MB at the end", `MB ${waitSeconds} s later`], rows)}\n\n${bars.join("\n")}`,
);

async function measure(server: Server, attack: Attack, read: Operation): Promise<void> {
  await p99(server, read, 2);
  const quiet = await p99(server, read, Math.max(2, seconds / 3));
  // V8 gives the memory of a first round back late or never; what a second one adds to it is what the attack leaves behind.
  await attacker(server, attack, seconds / 5);
  await sleep(Math.min(waitSeconds, 5) * 1000);
  const before = memoryOf(server);
  const gone = attacker(server, attack, seconds);
  const attacked = await p99(server, read, seconds);
  const peak = memoryOf(server);
  await gone;
  await sleep(waitSeconds * 1000);
  if (server.child.exitCode !== null) throw new Error(`${attack.name} has ended the server.`);
  const after = memoryOf(server);
  const times = attacked / quiet;
  const figures = [quiet, attacked, times].map((figure) => figure.toFixed(1));
  rows.push([attack.name, ...figures, ...[before, peak, after].map((megabytes) => megabytes.toFixed(0))]);
  bars.push(
    attack.kind === "large"
      ? bar(`${attack.name}: p99 in ms`, attacked, { atMost: MAX.large })
      : bar(`${attack.name}: times the quiet p99`, times, { atMost: MAX.refused }),
    bar(`${attack.name}: memory afterwards, times that before`, after / before, { atMost: MAX.memory }),
  );
}

/** Lets an attack run for some seconds in a process of its own. */
async function attacker(server: Server, { name }: Attack, forSeconds: number): Promise<void> {
  const command = ["--import", "tsx", ATTACKER, server.url, String(forSeconds), name];
  const env = attackerKey === undefined ? process.env : { ...process.env, ATTACKER_KEY: attackerKey };
  await once(spawn(process.execPath, command, { stdio: ["ignore", "ignore", "inherit"], env }), "exit");
}

/** The p99 of a client's requests, one after the other with a pause, in milliseconds. */
async function p99(server: Server, operation: Operation, forSeconds: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const latencies: number[] = [];
  for (const end = performance.now() + forSeconds * 1000; performance.now() < end; await sleep(2)) {
    const start = performance.now();
    await post(server.url, operation, agent);
    latencies.push(performance.now() - start);
  }
  agent.destroy();
  return quantile(latencies, 0.99);
}

/** The server's resident memory in megabytes. */
function memoryOf({ child }: Server): number {
  return Number(execFileSync("ps", ["-o", "rss=", "-p", String(child.pid)], { encoding: "utf8" })) / 1024;
}
