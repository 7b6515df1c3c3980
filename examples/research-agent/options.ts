import { parseArgs } from "node:util";
import type { Api } from "../client.ts";
import { readModel } from "../demo/options.ts";
import type { ModelSettings } from "../worker/model.ts";

export const USAGE = `npm run research-agent -- [--stay]

An agent researches a topic on a server: it plans, lets three child jobs search documents,
drafts a report while a page shows it, asks a person, and finishes. In the middle one worker
process is killed and another one is replaced; no model call is made twice. Ends by itself.

  --stay      begin when the page is opened, and keep it up until Ctrl+C
  -h, --help  show this

The server is one of its own, in memory, unless these are set:

  AI_JOB_SERVER_URL  the API of a running server
  AI_JOB_SERVER_KEY  a key of it, with SUBMITTER, VIEWER, WORKER and REVIEWER, if it asks for one

Its workers take every job of the kind WORKFLOW_RUN there: give them a workspace of their own.

The model is a script, and no network is needed, unless these are set:

  OPENAI_MODEL     the model's id; nothing else turns this on
  OPENAI_BASE_URL  such as http://127.0.0.1:11434/v1 (default: https://api.openai.com/v1)
  OPENAI_API_KEY   where the server wants one
`;

export interface Options {
  readonly help: boolean;
  readonly stay: boolean;
  /** A running server; undefined to start one. */
  readonly api: Api | undefined;
  /** A real model; undefined for the scripted one. */
  readonly model: ModelSettings | undefined;
}

/**
 * The options from the command line and the environment.
 * @throws DemoError, or for an unknown option a TypeError of node:util.
 */
export function readOptions(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      stay: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const { AI_JOB_SERVER_URL: url, AI_JOB_SERVER_KEY: key } = env;
  return { ...values, api: url ? { url, key: key || undefined } : undefined, model: readModel(env) };
}
