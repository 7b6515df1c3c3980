import { readFile } from "node:fs/promises";
import { createClient, type JobClient, Viewer } from "@ai-job-server/sdk/client";
import { Command, Option } from "@commander-js/extra-typings";
import { InvalidArgumentError } from "commander";
import type { Backend } from "./backend.ts";
import { CommandError, explainAnswer, inWordsOfOptions, UsageError } from "./errors.ts";
import { backendOf } from "./http.ts";
import { parseId, parseUrl } from "./values.ts";

/** The environment variables of the command. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Where a command goes, and how it shows what it gets. */
interface ConnectionOptions {
  readonly url?: string | undefined;
  readonly keyFile?: string | undefined;
  readonly direct?: true | undefined;
  readonly workspace?: string | undefined;
}

const DEFAULT_URL = "http://127.0.0.1:4000/graphql";

/** @returns a command that asks a server. */
function serverCommand(name: string) {
  return new Command(name)
    .exitOverride()
    .option("--url <url>", `the server's API; without it AI_JOB_SERVER_URL, or ${DEFAULT_URL}`, parseUrl)
    .option("--key-file <file>", "a file that has the key; without it, the key is in AI_JOB_SERVER_KEY")
    .option("--json", "print JSON");
}

/** @returns a command that asks a server, in a workspace. */
export function workspaceCommand(name: string) {
  return serverCommand(name).option("--workspace <id>", "the workspace, for a key of the whole deployment", parseId);
}

/** @returns a command that asks a server or a database. */
export function connectedCommand(name: string) {
  return serverCommand(name).addOption(
    new Option("--direct", "no server: the database of DATABASE_URL itself, as the operator").conflicts([
      "url",
      "keyFile",
    ]),
  );
}

/**
 * Opens the server or the database, and lets `work` use it.
 * @throws CommandError, or what opening a database throws.
 */
export async function withBackend<Result>(
  options: ConnectionOptions,
  env: Environment,
  work: (backend: Backend) => Promise<Result>,
): Promise<Result> {
  if (!options.direct) return withClient(options, env, (client) => work(backendOf(client)));
  // Imported on demand: it loads the database's clients.
  const backend = await (await import("./direct.ts")).openDirect(env, options.workspace);
  try {
    return await work(backend);
  } catch (error) {
    throw inWordsOfOptions(error);
  } finally {
    await backend.close();
  }
}

/** Where the server is, and as whom to ask it. */
export interface ServerAddress {
  readonly url: string;
  readonly key: string | undefined;
  readonly workspaceId: string | undefined;
}

/**
 * Lets `work` use a client of the server.
 * @throws CommandError for whatever the server refuses, or does not answer; UsageError for an address that is none.
 */
export async function withClient<Result>(
  options: ConnectionOptions,
  env: Environment,
  work: (client: JobClient, address: ServerAddress) => Promise<Result>,
): Promise<Result> {
  const url = options.url ?? urlIn(env);
  const key = await readKey(options.keyFile, env);
  const address = { url, key, workspaceId: options.workspace };
  const client = createClient(address);
  try {
    return await work(client, address);
  } catch (error) {
    throw explainAnswer(error, { url, hasKey: key !== undefined });
  } finally {
    client.close();
  }
}

/**
 * Asks the server something small, once, before what the client would try again and again: people are told at once that there is no server, or
 * that it does not take their key.
 */
export async function assertAnswers(client: JobClient): Promise<void> {
  await client.request(Viewer, {});
}

/** Not by Commander, which would take the variable for an option that --direct conflicts with. */
function urlIn({ AI_JOB_SERVER_URL: url }: Environment): string {
  if (!url) return DEFAULT_URL;
  try {
    return parseUrl(url);
  } catch (error) {
    throw error instanceof InvalidArgumentError
      ? new UsageError(`AI_JOB_SERVER_URL is invalid. ${error.message}`)
      : error;
  }
}

async function readKey(file: string | undefined, env: Environment): Promise<string | undefined> {
  const text = file === undefined ? (env.AI_JOB_SERVER_KEY ?? "") : await readKeyFile(file);
  const key = text.trim();
  if (/[^\x21-\x7e]/.test(key)) throw new CommandError("The key has characters that no key has: it must be one word.");
  return key === "" ? undefined : key;
}

async function readKeyFile(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new CommandError(`The key cannot be read: ${error instanceof Error ? error.message : String(error)}.`);
  }
}
