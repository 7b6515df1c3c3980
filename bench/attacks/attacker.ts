import { ATTACKS, connectionTo } from "./attacks.ts";

/** The attacker's process: `attacker.ts NAME URL SECONDS`, with two connections. */
const [name, url = "", seconds] = process.argv.slice(2);
const attack = ATTACKS.find((known) => known.name === name);
if (!attack) throw new Error(`There is no attack ${name}.`);
const end = performance.now() + Number(seconds) * 1000;
let number = 0;
const next = () => number++;
const work = async () => {
  const connection = connectionTo(url, next);
  while (performance.now() < end) await attack.once(connection).catch(() => undefined);
};
await Promise.all([work(), work()]);
process.exit();
