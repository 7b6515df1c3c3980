import { once } from "node:events";
import { inspect } from "node:util";
import { createClient } from "@ai-job-server/sdk/client";
import { pino } from "pino";
import { readConfig } from "../../src/config.ts";
import { start } from "../../src/start.ts";
import type { Api } from "../client.ts";
import { DemoError } from "../demo/demo-error.ts";
import { tierOf } from "../demo/options.ts";
import { runCrew } from "./crew.ts";
import { newGate } from "./gate.ts";
import { type Options, readOptions, USAGE } from "./options.ts";
import { servePage } from "./page-server.ts";
import { firstWords, watchAndAnswer } from "./person.ts";
import { RESEARCH } from "./protocols.ts";
import { billOf, differences, faultsOf, readRecord, totalOf } from "./record.ts";
import { type ModelCall, SCRIPTED_MODEL, type ScriptedModel, startScriptedModel } from "./scripted-model/endpoint.ts";
import { TOPIC } from "./scripted-model/script.ts";
import { usageTable } from "./usage-table.ts";

/** How long all of it may take, in milliseconds: a real model on a small machine is slow. */
const LIMIT_MS = 600_000;

try {
  const options = readOptions(process.argv.slice(2), process.env);
  if (options.help) process.stdout.write(USAGE);
  else if (options.api) await example(options, options.api);
  else await withServer((api) => example(options, api));
} catch (error) {
  process.stderr.write(`${error instanceof DemoError ? error.message : inspect(error)}\n`);
  process.exitCode = 1;
}

/** Runs a server in memory, on a free port, which notices a crash soon, for as long as `use` takes. */
async function withServer(use: (api: Api) => Promise<void>): Promise<void> {
  const soon = { RECOVERY_INTERVAL_SECONDS: "0.5", RETRY_FIRST_SECONDS: "0.1" };
  const config = readConfig({ DATABASE_URL: "memory:", PORT: "0", ...soon });
  const server = await start(config, pino({ level: "warn" }, process.stderr));
  try {
    await use({ url: server.url });
  } finally {
    await server.close();
  }
}

async function example(options: Options, api: Api): Promise<void> {
  const deployed = newGate();
  const onCall = ({ prompt }: ModelCall, number: number) => console.log(`model: call ${number}, prompt ${prompt}`);
  const scripted = options.model ? undefined : await startScriptedModel(deployed.opened, onCall);
  try {
    await runResearch(options, api, scripted, deployed.open);
  } finally {
    await scripted?.close();
  }
}

async function runResearch(
  { model: real, stay }: Options,
  api: Api,
  scripted: ScriptedModel | undefined,
  onDeploy: () => void,
) {
  const model = real ?? { model: SCRIPTED_MODEL, baseURL: scripted?.baseURL ?? "" };
  const client = createClient(api);
  const { jobId } = await client.submit({
    jobKind: "WORKFLOW_RUN",
    protocolId: RESEARCH,
    modelTier: tierOf(model),
    jobInputs: { topic: TOPIC },
  });
  const page = await servePage(api, jobId);
  console.log(`The page of the research: ${page.url}`);
  const stop = new AbortController();
  const limit = setTimeout(() => stop.abort(), LIMIT_MS);
  try {
    if (stay) await page.opened;
    const ended = watchAndAnswer(client, jobId, stop.signal);
    const firstOutput = () => firstWords(client, jobId, stop.signal);
    await Promise.all([ended, runCrew({ api, model }, { firstOutput, onDeploy, ended })]);
    await judge(api, jobId, scripted);
    if (stay) await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  } finally {
    clearTimeout(limit);
    stop.abort();
    await page.close();
  }
}

/** Shows what was used. @throws DemoError if it is not what should have happened. */
async function judge(api: Api, jobId: string, scripted: ScriptedModel | undefined): Promise<void> {
  const jobs = await readRecord(api, jobId);
  console.log(`\n${usageTable(jobs)}`);
  const bill = scripted && billOf(SCRIPTED_MODEL, scripted.calls);
  const faults = [...faultsOf(jobs), ...(bill ? differences(totalOf(jobs), bill, scripted.calls) : [])];
  if (faults.length > 0) throw new DemoError(["This is not how it should have ended:", ...faults].join("\n  "));
  console.log("Each model call was made once, and what the server counted is what the model counted.");
}
