import { setTimeout as sleep } from "node:timers/promises";
import { type Answers, ATTACKS, connectionTo } from "./attacks.ts";

/**
 * The attacker's process: `attacker.ts URL SECONDS NAME...` lets one attack follow the other, each over two connections. Where
 * it has a channel to its parent, it tells how each was answered.
 */
const [url = "", seconds, ...names] = process.argv.slice(2);
let number = 0;
const next = () => number++;
for (const name of names) {
  const attack = ATTACKS.find((known) => known.name === name);
  if (!attack) throw new Error(`There is no attack ${name}.`);
  const over = new AbortController();
  const answers: Answers = {};
  process.send?.({ name });
  const work = async () => {
    const connection = connectionTo(url, next, over.signal, answers);
    while (!over.signal.aborted) await attack.once(connection).catch(() => undefined);
  };
  const works = Promise.all([work(), work()]);
  await sleep(Number(seconds) * 1000);
  over.abort();
  // What has been sent is waited for; a server that answers no more is left alone.
  await Promise.race([works, sleep(10_000)]);
  process.send?.({ name, answers });
}
process.exit();
