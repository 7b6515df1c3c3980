import { inspect } from "node:util";
import { pino } from "pino";
import { readConfig } from "../src/config.ts";
import { AppError } from "../src/errors.ts";
import { start } from "../src/start.ts";
import { send } from "./client.ts";
import { closingTable } from "./demo/closing-table.ts";
import { DemoError } from "./demo/demo-error.ts";
import { DOCUMENTS_FOLDER, readDocuments } from "./demo/documents.ts";
import { FeedCursor } from "./demo/operations.ts";
import { type DemoOptions, readOptions, tierOf, USAGE } from "./demo/options.ts";
import { faultsOf, readOutcomes } from "./demo/outcome.ts";
import { PROTOCOL, planJobs } from "./demo/plan.ts";
import { createScreen } from "./demo/screen.ts";
import { type SubmittedJob, submitJobs } from "./demo/submit.ts";
import { watchToTheEnd } from "./demo/watch.ts";
import { extractiveSummariser } from "./worker/extractive.ts";
import { work } from "./worker.ts";

const WORKERS = ["worker-1", "worker-2"];
/** A third of the lease would do; this often, so that a heartbeat shows within the seconds that the demo lasts. */
const LEASE = { leaseSeconds: 15, heartbeatMs: 1000 };

try {
  const options = readOptions(process.argv.slice(2), process.env);
  if (options.help) process.stdout.write(USAGE);
  else await withServer((url) => demo(options, url));
} catch (error) {
  process.stderr.write(`${explain(error)}\n`);
  process.exitCode = 1;
}

/** The product's own server, in memory and on a free port, for as long as `use` takes. */
async function withServer(use: (url: string) => Promise<void>): Promise<void> {
  const config = readConfig({ DATABASE_URL: "memory:", PORT: "0" });
  const server = await start(config, pino({ level: "warn" }, process.stderr));
  try {
    await use(server.url);
  } finally {
    await server.close();
  }
}

/** Submits the jobs, lets the workers do them, shows what the subscriber hears, and judges how it ended. */
async function demo({ kinds, model }: DemoOptions, url: string): Promise<void> {
  const planned = planJobs(kinds, await readDocuments(), tierOf(model));
  // The AI SDK takes its time to load: only where it is used.
  const summariser = model ? (await import("./worker/model.ts")).modelSummariser(model) : extractiveSummariser;
  console.log(`The server answers on ${url}. Summaries: ${model?.model ?? "extractive (OPENAI_MODEL is not set)"}.\n`);

  // From this place in the log on the subscriber misses nothing, however long its connection takes.
  const { aiJobs } = await send(url, FeedCursor, {});
  const show = createScreen(process.stdout, planned.length, kinds.length > 1);
  const stop = new AbortController();
  const { signal } = stop;
  const position = { protocolId: PROTOCOL, after: aiJobs.feedCursor };
  const settings = { url, protocolId: PROTOCOL, ...LEASE, documents: DOCUMENTS_FOLDER, summariser, signal };
  try {
    const [jobs, versionsSeen] = await Promise.all([
      submitJobs(url, planned),
      watchToTheEnd(url, position, { jobs: planned.length, show, signal }).finally(() => stop.abort()),
      ...WORKERS.map((workerId) => work({ ...settings, workerId })),
    ]);
    await judge(url, jobs, versionsSeen);
  } finally {
    stop.abort();
  }
}

/** Shows how everything ended. @throws DemoError where that is not as it must be */
async function judge(url: string, jobs: readonly SubmittedJob[], versionsSeen: ReadonlyMap<string, number>) {
  const outcomes = await readOutcomes(url);
  console.log(`\n${closingTable(jobs, outcomes, process.stdout)}`);
  const faults = faultsOf(jobs, outcomes, versionsSeen);
  if (faults.length > 0) throw new DemoError(["This is not how it should have ended:", ...faults].join("\n  "));
}

/** What the user can mend is a sentence, anything else is shown whole. */
function explain(error: unknown): string {
  if (error instanceof AppError) return `${error.code}: ${error.message}`;
  const isBadOption = error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
  return error instanceof DemoError || isBadOption ? error.message : inspect(error);
}
