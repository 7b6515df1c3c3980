import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { pino } from "pino";
import { expect, vi } from "vitest";
import { z } from "zod";
import { readConfig } from "../../src/config.ts";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { within } from "../../src/db/scope.ts";
import { hashEvent } from "../../src/log/hash.ts";
import { type RunningServer, start } from "../../src/start.ts";
import { EVERYWHERE } from "../support/engine.ts";
import { watch } from "../support/live.ts";
import { expectExact } from "../support/totals.ts";

/** A line of the server's log. */
const line = z.looseObject({ msg: z.string() });

/** A server as `npm start` runs it, with what it logs. */
export interface LoggingServer extends RunningServer {
  readonly logged: readonly z.infer<typeof line>[];
  /** The JSON of a path, such as `/health`, with its status. */
  get(path: string): Promise<Record<string, unknown>>;
}

/** Starts a server in this process with these environment variables. */
export async function startServer(env: Readonly<Record<string, string>>): Promise<LoggingServer> {
  const logged: z.infer<typeof line>[] = [];
  const log = pino({ level: "info" }, { write: (text: string) => void logged.push(line.parse(JSON.parse(text))) });
  const server = await start(readConfig({ HOST: "127.0.0.1", PORT: "0", ...env }), log);
  const get = async (path: string) => {
    const response = await fetch(new URL(path, server.url));
    return { code: response.status, ...z.looseObject({}).parse(await response.json()) };
  };
  return { ...server, logged, get };
}

/** Runs `npx ai-job-server …` with these arguments. @returns what it prints. @throws where it fails. */
export async function runCommand(args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
  const command = ["--import", "tsx", "src/cli/main.ts", ...args];
  const { stdout } = await promisify(execFile)(process.execPath, command, { env: { PATH: process.env.PATH, ...env } });
  return stdout;
}

/** Sends an operation. @returns its data, of this shape. @throws Error with the whole answer, where it has another. */
export async function post<Data>(url: string, query: string, variables: object, shape: z.ZodType<Data>): Promise<Data> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  const body: unknown = await response.json();
  const { success, data } = z.object({ data: shape }).safeParse(body);
  if (!success) throw new Error(JSON.stringify(body));
  return data.data;
}

/** Any data. */
export const anything = z.looseObject({});
/** An error of the API, or nothing of one. */
export const refusal = z.object({ code: z.string(), message: z.string() }).partial();

const SUBMIT = `mutation { submitAiJob(input: { jobKind: DOC_SUMMARIZE, protocolId: "operate" }) {
  ... on SubmitAiJobPayload { job { jobId } } ... on Error { code message } } }`;

/** Submits a job. @returns its id, or the code and message of the refusal. */
export async function submit(url: string): Promise<string> {
  const shape = z.object({ submitAiJob: refusal.extend({ job: z.object({ jobId: z.string() }).optional() }) });
  const { job, code, message } = (await post(url, SUBMIT, {}, shape)).submitAiJob;
  return job?.jobId ?? `${code}: ${message}`;
}

export async function submitMany(url: string, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let index = 0; index < count; index++) ids.push(await submit(url));
  return ids;
}

export async function cancel(url: string, jobId: string): Promise<void> {
  const query = `mutation ($jobId: UUID!) { cancelAiJob(input: { jobId: $jobId, reason: "operate" }) { __typename } }`;
  await post(url, query, { jobId }, anything);
}

export async function setQuota(url: string, max: number): Promise<void> {
  const input = { resource: "JOBS", max, windowSeconds: 86_400 };
  await post(url, "mutation ($input: SetQuotaInput!) { setQuota(input: $input) { __typename } }", { input }, anything);
}

/** What the API says of quotas and totals. */
export function usage(url: string): Promise<Record<string, unknown>> {
  return post(url, "{ quotas { used max } aiJobStats { total } }", {}, anything);
}

/** Does what a test does with a server's own client. */
export function inDatabase<T>({ database }: RunningServer, work: (prisma: PrismaClient) => PromiseLike<T>): Promise<T> {
  return within(EVERYWHERE, () => work(database.prisma));
}

/** Expects that totals equal a recount of the jobs, and that every event's hash is that of its content. */
export function expectWhole(running: RunningServer): Promise<void> {
  return inDatabase(running, expectWholeDatabase);
}

async function expectWholeDatabase(prisma: PrismaClient): Promise<void> {
  await expectExact(prisma);
  for (const { hash, ...event } of await prisma.flightRecorderEvent.findMany())
    if (hashEvent(event) !== hash)
      throw new Error(`The hash of ${event.jobId} ${event.version} is not that of its event.`);
}

/** The most jobs that `setQuota` of these tests allows: no test comes near. */
export const MANY = 10_000;

/**
 * Expects that a server whose quota allows `MANY` jobs is well: it is healthy and ready, its log has no other warning than
 * these, quotas and totals count these jobs, and every event is whole.
 */
export async function expectWell(
  running: LoggingServer,
  jobs: number,
  warnings: readonly object[] = [],
): Promise<void> {
  await vi.waitFor(
    async () => {
      expect(await running.get("/health")).toMatchObject({ code: 200, status: "ok" });
      expect(await running.get("/ready")).toEqual({ code: 200, ready: true });
    },
    { timeout: 30_000, interval: 200 },
  );
  expect(await usage(running.url)).toEqual({ quotas: [{ used: jobs, max: MANY }], aiJobStats: { total: jobs } });
  await expectWhole(running);
  expect(warningsOf(running)).toMatchObject(warnings);
}

/** What a server has logged as a warning or an error. */
export function warningsOf({ logged }: LoggingServer) {
  return logged.filter(({ level }) => Number(level) >= 40);
}

const seen = z.object({ cursor: z.string(), version: z.number(), job: z.object({ jobId: z.string() }) });

/** Subscribes to all jobs. @param after a cursor to go on from. */
export function follow(url: string, after?: string) {
  const query = "subscription ($after: Cursor) { aiJobsChanged(after: $after) { cursor version state job { jobId } } }";
  return watch("graphql-sse", url, { query, variables: { after } }, (data) => seen.parse(data.aiJobsChanged));
}

/** The lines of the log that tell of a new epoch. */
export function newEpochs({ logged }: LoggingServer) {
  return logged.filter(({ msg }) => msg.includes("a new epoch has begun"));
}
