import { createWorker } from "@ai-job-server/sdk/worker";
import type { Entry } from "../entries.ts";
import { inputsSchema } from "../inputs.ts";
import { Journal } from "../journal.ts";
import { Outside } from "../outside.ts";
import { seededRandom } from "../plan.ts";
import { workerSettings as settings } from "../worker-settings.ts";
import { handlerWith } from "./handle.ts";
import type { KitLine } from "./lines.ts";

/** A worker with the kit for TypeScript, in a process of its own, which can be killed at any moment. watch-fetch.mjs is loaded before it. */

const journal = new Journal<KitLine | Entry>(settings.WORKER_JOURNAL);
const leaseSeconds = settings.LEASE_SECONDS;
const worker = createWorker({
  url: settings.SERVERS,
  workerId: settings.WORKER_ID,
  concurrency: 6,
  leaseSeconds,
  log: (line) => journal.write({ type: "logged", line }),
});
const random = seededRandom(settings.WORKER_SEED);
const handler = handlerWith({ journal, outside: new Outside(settings.OUTSIDE), random, leaseSeconds });
for (const kind of ["DOC_SUMMARIZE", "DOC_EDIT"] as const) worker.handle(kind, { inputs: inputsSchema }, handler);

// The process that started this worker has ended, so nothing else would end this one.
process.stdin.resume().once("end", () => process.exit());

await worker.run();
