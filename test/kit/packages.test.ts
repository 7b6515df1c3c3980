import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { blocksOf, readText } from "../support/documents.ts";
import { killSpawned } from "../support/spawn-server.ts";
import { JOB, type KitServer, startKitServer } from "./server.ts";

/** The package as a stranger gets it: packed, and installed into an empty folder. */

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const LONG = { timeout: 240_000 };

let folder: string;
let server: KitServer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ai-job-server-kit-"));
  server = await startKitServer();
});
afterAll(async () => {
  await killSpawned();
  await rm(folder, { recursive: true, force: true });
});

const WORKER = `
import { createWorker } from "@ai-job-server/sdk/worker";

const worker = createWorker({ url: process.argv[2] ?? "" });
worker.handle("DOC_SUMMARIZE", async (job, ctx) => {
  const { text } = job.inputs as { text: string };
  const shout = await ctx.step("shout", { type: "llm_call", input: { text } }, () => ({ text: text.toUpperCase() }));
  setTimeout(() => worker.stop(), 100);
  return { outputs: shout };
});
await worker.run();
`;

const PAGE = `
import { createClient, type Job, JobServerError, SubmitAiJob } from "@ai-job-server/sdk/client";

export async function firstState(url: string): Promise<Job["state"] | undefined> {
  const client = createClient({ url });
  try {
    for await (const { state } of client.watchJobs({ states: ["QUEUED"] })) return state;
  } catch (error) {
    if (error instanceof JobServerError && error.code === "UNAUTHENTICATED") return undefined;
  }
  const { submitAiJob } = await client.request(SubmitAiJob, { input: { jobKind: "DOC_EDIT", protocolId: "p" } });
  return submitAiJob.__typename === "SubmitAiJobPayload" ? submitAiJob.job.state : undefined;
}
`;

/** Runs the worker and the client of the package's README, as they stand there. */
async function followReadme(project: string): Promise<void> {
  const [worker, client] = blocksOf(readText("clients/typescript/README.md")).map(({ text }) => text);
  for (const [name, text = ""] of [["readme-worker", worker] as const, ["readme-client", client] as const]) {
    await writeFile(
      join(project, `${name}.ts`),
      `${text.replaceAll("http://127.0.0.1:4000/graphql", server.url)}\nexport {};\n`,
    );
  }
  await run(join(ROOT, "node_modules/.bin/tsc"), ["-p", "."], { cwd: project });
  const working = run(process.execPath, ["readme-worker.js"], { cwd: project });
  const { stdout } = await run(process.execPath, ["readme-client.js"], { cwd: project });
  expect(stdout).toBe("{ sent: true, summary: 'The minutes.' }\n");
  working.child.kill("SIGTERM");
  await working;
}

test("a packed kit, in an empty project, compiles strictly with no other types, and does a job", LONG, async () => {
  await run("npm", ["pack", "-w", "@ai-job-server/sdk", "--pack-destination", folder], { cwd: ROOT });
  const [tarball] = (await readdir(folder)).filter((name) => name.endsWith(".tgz"));
  const project = join(folder, "project");
  await mkdir(project);
  await writeFile(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
  await run("npm", ["install", "--offline", "--no-audit", `../${tarball}`], { cwd: project });
  expect(await readdir(join(project, "node_modules"))).toEqual([".package-lock.json", "@ai-job-server"]);
  await writeFile(join(project, "worker.ts"), WORKER);
  await writeFile(join(project, "page.ts"), PAGE);
  const compilerOptions = {
    target: "es2023",
    module: "nodenext",
    strict: true,
    lib: ["es2023", "dom", "dom.iterable", "dom.asynciterable"],
    types: [],
    skipLibCheck: false,
  };
  await writeFile(join(project, "globals.d.ts"), "declare const process: { argv: string[] };");
  await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions }));
  await run(join(ROOT, "node_modules/.bin/tsc"), ["-p", "."], { cwd: project });
  await followReadme(project);
  const { jobId } = await server.client.submit({ ...JOB, jobInputs: { text: "hello" } });
  await run(process.execPath, ["worker.js", server.url], { cwd: project });
  expect(await server.client.job(jobId)).toMatchObject({ state: "COMPLETED", jobOutputs: { text: "HELLO" } });
});
