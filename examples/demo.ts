import { once } from "node:events";
import { inspect } from "node:util";
import { pino } from "pino";
import { readConfig } from "../src/config.ts";
import { AppError } from "../src/errors.ts";
import { start } from "../src/start.ts";
import { type Api, send } from "./client.ts";
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

try {
  const options = readOptions(process.argv.slice(2), process.env);
  if (options.help) process.stdout.write(USAGE);
  else await withServer((api) => demo(options, api));
} catch (error) {
  process.stderr.write(`${explain(error)}\n`);
  process.exitCode = 1;
}

/** Runs the server in memory and on a free port for as long as `use` takes. */
async function withServer(use: (api: Api) => Promise<void>): Promise<void> {
  const config = readConfig({ DATABASE_URL: "memory:", PORT: "0" });
  const server = await start(config, pino({ level: "warn" }, process.stderr));
  try {
    await use({ url: server.url });
  } finally {
    await server.close();
  }
}

/** Submits the jobs, runs the workers, shows every change that the subscription delivers, and checks the results. */
async function demo({ kinds, model, open }: DemoOptions, api: Api): Promise<void> {
  const planned = planJobs(kinds, await readDocuments(), tierOf(model));
  // The AI SDK is slow to load, so it is loaded only if a model is used.
  const summariser = model ? (await import("./worker/model.ts")).modelSummariser(model) : extractiveSummariser;
  console.log(
    `The server answers on ${api.url}, its console on ${new URL("/", api.url).href}. ` +
      `Summaries: ${model?.model ?? "extractive (OPENAI_MODEL is not set)"}.\n`,
  );

  // The subscription starts at this position of the log, so it misses nothing, however long it takes to connect.
  const { aiJobs } = await send(api, FeedCursor, {});
  const show = createScreen(process.stdout, planned.length, kinds.length > 1);
  const stop = new AbortController();
  const { signal } = stop;
  const position = { protocolId: PROTOCOL, after: aiJobs.feedCursor };
  const settings = { ...api, documents: DOCUMENTS_FOLDER, summariser, signal };
  const end = () => stop.abort();
  try {
    const [jobs, versionsSeen] = await Promise.all([
      submitJobs(api, planned),
      watchToTheEnd(api, position, { jobs: planned.length, show, signal }).finally(end),
      // They also end where the process is told to stop: then nothing more is to come.
      ...WORKERS.map((workerId) => work({ ...settings, workerId }).finally(end)),
    ]);
    await judge(api, jobs, versionsSeen);
    if (open) {
      console.log(`\nThe console shows it all: ${new URL("/", api.url).href} (Ctrl-C ends it)`);
      await untilStopped();
    }
  } finally {
    end();
  }
}

/** Keeps the process, and the server in it, until it is told to stop. */
async function untilStopped(): Promise<void> {
  const stops = [once(process, "SIGINT"), once(process, "SIGTERM")];
  // A promise that nobody settles keeps no process.
  const timer = setInterval(() => undefined, 60_000);
  await Promise.race(stops);
  clearInterval(timer);
}

/** Shows how every job ended. @throws DemoError if a result is not the expected one. */
async function judge(api: Api, jobs: readonly SubmittedJob[], versionsSeen: ReadonlyMap<string, number>) {
  const outcomes = await readOutcomes(api);
  console.log(`\n${closingTable(jobs, outcomes, process.stdout)}`);
  const faults = faultsOf(jobs, outcomes, versionsSeen);
  if (faults.length > 0) throw new DemoError(["This is not how it should have ended:", ...faults].join("\n  "));
}

/** A DemoError is shown as its message, any other error with its stack. */
function explain(error: unknown): string {
  if (error instanceof AppError) return `${error.code}: ${error.message}`;
  const isBadOption = error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
  return error instanceof DemoError || isBadOption ? error.message : inspect(error);
}
