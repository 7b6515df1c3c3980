import { JobServerError, UnansweredError } from "@ai-job-server/sdk/client";
import { WORKSPACE_HEADER } from "../http/viewer.ts";

/** A command could not be done; the message is one sentence that says why, and what to do. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** A command was used wrongly, in a way that Commander does not know of; the message says how. Nothing was sent. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Where a command was sent, and whether with a key. */
interface Sent {
  readonly url: string;
  readonly hasKey: boolean;
}

/** @returns what became of a request, as a command says it; the same error, where it is about something else. */
export function explainAnswer(error: unknown, { url, hasKey }: Sent): unknown {
  if (error instanceof JobServerError) return inWordsOfOptions(new CommandError(refusalText(error, hasKey)));
  if (error instanceof DOMException && error.name === "TimeoutError")
    return new CommandError(
      `${url} has not taken it for a minute. Whether it was stored, \`npx ai-job-server list\` shows; how the server is, \`npx ai-job-server status\`.`,
    );
  if (!(error instanceof UnansweredError)) return error;
  if (error.cause === undefined && / HTTP 5\d\d/.test(error.message))
    return new CommandError(`${error.message} The server behind that address does not answer; try again later.`);
  if (error.cause === undefined)
    return new CommandError(`${error.message} Give the address of an AI Job Server's API, which ends in /graphql.`);
  const cause = error.cause instanceof Error && error.cause.cause instanceof Error ? error.cause.cause : error.cause;
  const elsewhere = "give another address by --url or AI_JOB_SERVER_URL";
  if (cause instanceof Error && "code" in cause && cause.code === "ECONNREFUSED")
    return new CommandError(
      `No server listens on ${url}. Start it by \`npx ai-job-server serve\`, ${elsewhere}; keys and workspaces can be made on a stopped server's database by --direct.`,
    );
  const why = cause instanceof Error ? cause.message : "for no reason that is known";
  return new CommandError(`${url} cannot be reached (${why}). See that the server runs, or ${elsewhere}.`);
}

/** @returns what the API says of its header, said of the option; the same error, where it is about something else. */
export function inWordsOfOptions(error: unknown): unknown {
  if (!(error instanceof Error && error.message.includes(WORKSPACE_HEADER))) return error;
  return new CommandError(`${error.message} Here that is --workspace; --all-workspaces makes a key of all.`);
}

function refusalText({ code, message, details }: JobServerError, hasKey: boolean): string {
  if (code === "UNAUTHENTICATED")
    return hasKey
      ? "The server does not accept this key: it is unknown, or has ended. Put a valid one into AI_JOB_SERVER_KEY or --key-file."
      : "This server asks for a key: put one into AI_JOB_SERVER_KEY, or name a file that has it by --key-file.";
  const seconds =
    details.retryAfterMs === undefined ? "" : ` Send it again after ${details.retryAfterMs / 1000} seconds.`;
  const issues = (details.issues ?? []).filter((issue) => !message.includes(issue.message));
  const more = issues.map((issue) => `\n  ${issue.path.join(".")}: ${issue.message}`).join("");
  return `${message}${seconds}${more}`;
}
