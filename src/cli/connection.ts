import { readFile } from "node:fs/promises";
import { Command, Option } from "@commander-js/extra-typings";
import { WORKSPACE_HEADER } from "../http/viewer.ts";
import { type Backend, CommandError } from "./backend.ts";
import { openHttp } from "./http.ts";
import { parseUrl } from "./values.ts";

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

/** @returns a command that asks a server or a database. */
export function connectedCommand(name: string) {
  return new Command(name)
    .exitOverride()
    .option("--url <url>", `the server's API; without it AI_JOB_SERVER_URL, or ${DEFAULT_URL}`, parseUrl)
    .option("--key-file <file>", "a file that has the key; without it, the key is in AI_JOB_SERVER_KEY")
    .addOption(
      new Option("--direct", "no server: the database of DATABASE_URL itself, as the operator").conflicts([
        "url",
        "keyFile",
      ]),
    )
    .option("--json", "print JSON");
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
  const backend = await open(options, env);
  try {
    return await work(backend);
  } catch (error) {
    // What the API says of its header is said of the option here.
    if (!(error instanceof Error && error.message.includes(WORKSPACE_HEADER))) throw error;
    throw new CommandError(`${error.message} Here that is --workspace; --all-workspaces makes a key of all.`);
  } finally {
    await backend.close();
  }
}

async function open({ url, keyFile, direct, workspace }: ConnectionOptions, env: Environment): Promise<Backend> {
  // Imported on demand: it loads the database's clients.
  if (direct) return (await import("./direct.ts")).openDirect(env, workspace);
  const address = url ?? (env.AI_JOB_SERVER_URL || DEFAULT_URL);
  return openHttp({ url: address, key: await readKey(keyFile, env) }, workspace);
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
