import { parseArgs } from "node:util";
import { readModel } from "../demo/options.ts";
import { Run } from "../worker/run.ts";
import { modelCaller } from "./call-model.ts";
import { runThatCrashesAfter } from "./crashing-run.ts";
import { work } from "./work.ts";

/**
 * A worker process of the agent: `worker.ts --session WORD`, with AI_JOB_SERVER_URL, AI_JOB_SERVER_KEY and the model's OPENAI_ settings.
 * On SIGTERM, as a deploy sends it, it ends its step, gives its job back and goes.
 */
const { values } = parseArgs({
  options: {
    session: { type: "string" },
    "worker-id": { type: "string", default: `research-${process.pid}` },
    "lease-seconds": { type: "string", default: "30" },
    "crash-after": { type: "string" },
  },
});
const { AI_JOB_SERVER_URL: url = "http://127.0.0.1:4000/graphql", AI_JOB_SERVER_KEY } = process.env;
const key = AI_JOB_SERVER_KEY || undefined;
const model = readModel(process.env);
const { session, "worker-id": workerId, "lease-seconds": leaseSeconds, "crash-after": crashAfter } = values;
if (model === undefined || session === undefined) throw new Error("Set OPENAI_MODEL, and name a --session.");

const leaving = new AbortController();
process.on("SIGTERM", () => {
  leaving.abort();
  // Whoever started this process and listens: it will begin no other step.
  process.send?.("leaving");
});
// Whoever started it is gone, and nobody would end it.
const exitAlone = () => process.exit(1);
process.once("disconnect", exitAlone);

await work({
  url,
  key,
  workerId,
  session,
  leaseSeconds: Number(leaseSeconds),
  callModel: modelCaller(model),
  leaving: leaving.signal,
  say: (line) => console.log(`${workerId}: ${line}`),
  runs: crashAfter === undefined ? Run : runThatCrashesAfter(crashAfter),
});
process.off("disconnect", exitAlone);
process.disconnect?.();
