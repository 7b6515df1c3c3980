import { parseArgs } from "node:util";
import { readModel } from "../demo/options.ts";
import { createAgent } from "./agent.ts";
import { modelCaller } from "./call-model.ts";

/**
 * A worker process of the agent, with AI_JOB_SERVER_URL, AI_JOB_SERVER_KEY and the model's OPENAI_ settings.
 * On SIGTERM, as a deploy sends it, it ends its step, gives its job back and goes.
 */
const { values } = parseArgs({
  options: {
    "worker-id": { type: "string", default: `research-${process.pid}` },
    "lease-seconds": { type: "string", default: "30" },
    "crash-in": { type: "string" },
  },
});
const { AI_JOB_SERVER_URL: url = "http://127.0.0.1:4000/graphql", AI_JOB_SERVER_KEY } = process.env;
const key = AI_JOB_SERVER_KEY || undefined;
const model = readModel(process.env);
const { "worker-id": workerId, "lease-seconds": leaseSeconds, "crash-in": crashIn } = values;
if (model === undefined) throw new Error("Set OPENAI_MODEL.");

const leaving = new AbortController();
process.once("SIGTERM", () => {
  leaving.abort();
  // Whoever started this process and listens: it will begin no other step.
  process.send?.("leaving");
});
// Whoever started it is gone, and nobody would end it.
const exitAlone = () => process.exit(1);
process.once("disconnect", exitAlone);

const agent = createAgent({
  url,
  ...(key === undefined ? {} : { key }),
  workerId,
  leaseSeconds: Number(leaseSeconds),
  callModel: modelCaller(model),
  leaving: leaving.signal,
  say: (line) => console.log(`${workerId}: ${line}`),
  crashIn,
});
await agent.run();
process.off("disconnect", exitAlone);
process.disconnect?.();
