import { parseArgs } from "node:util";
import { parseJobKind } from "../../src/jobs/kind.ts";
import { isLoopback } from "../../src/loopback.ts";
import type { JobKind, ModelTier } from "../../test/generated/graphql.ts";
import type { ModelSettings } from "../worker/model.ts";
import { DemoError } from "./demo-error.ts";

export const USAGE = `npm run demo -- [--kinds WORDS] [--open]

Starts a server in memory, submits a job for each document in examples/documents,
lets two workers summarise them, and shows what happens, live.

  --kinds WORDS  submit a job of each of these kinds for each document: words with
                 commas between them, such as doc_summarize,terminal_exec.
                 Jobs of kind terminal_exec (or term_exec) are checked against the profile
                 "terminal", and their worker reads the document by running a command.
                 Default: doc_summarize
  --open         stay up afterwards, so that the console shows what happened; Ctrl-C ends it
  -h, --help     show this

Without a model the worker summarises by choosing sentences; no network is needed.
With one, any server that speaks OpenAI's protocol:

  OPENAI_MODEL     the model's id; nothing else turns this on
  OPENAI_BASE_URL  such as http://127.0.0.1:11434/v1 (default: https://api.openai.com/v1)
  OPENAI_API_KEY   where the server wants one
`;

export interface DemoOptions {
  readonly help: boolean;
  /** Whether the server stays up when all is done, until it is told to stop. */
  readonly open: boolean;
  readonly kinds: readonly JobKind[];
  /** The model; if undefined, summaries are extractive. */
  readonly model: ModelSettings | undefined;
}

/**
 * The options from the command line and the environment.
 * @throws InvalidJobKindError, DemoError, or for an unknown option a TypeError of node:util.
 */
export function readOptions(args: readonly string[], env: Readonly<Record<string, string | undefined>>): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      kinds: { type: "string", default: "doc_summarize" },
      open: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const kinds = values.help ? [] : values.kinds.split(",").map((word) => parseJobKind(word.trim()));
  return { help: values.help, open: values.open, kinds: [...new Set(kinds)], model: readModel(env) };
}

/**
 * The model that the environment names; undefined where it names none.
 * @throws DemoError
 */
export function readModel(env: Readonly<Record<string, string | undefined>>): ModelSettings | undefined {
  const { OPENAI_MODEL: model, OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: apiKey } = env;
  if (!model) return undefined;
  if (baseURL && !URL.canParse(baseURL))
    throw new DemoError("OPENAI_BASE_URL must be a URL, such as http://127.0.0.1:11434/v1.");
  return { model, baseURL: baseURL || "https://api.openai.com/v1", ...(apiKey ? { apiKey } : {}) };
}

/** The model tier of the jobs: whether the content that they read leaves this machine. */
export function tierOf(model: ModelSettings | undefined): ModelTier {
  return model === undefined || isLoopback(new URL(model.baseURL).hostname.replace(/^\[|\]$/g, "")) ? "LOCAL" : "CLOUD";
}
