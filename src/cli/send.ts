import { z } from "zod";
import { CommandError } from "./backend.ts";

/** Milliseconds that a server may take to answer. */
const TIMEOUT_MS = 60_000;

/** Where a server is, and the key to prove oneself with; undefined for none, which a server without auth takes. */
export interface Server {
  readonly url: string;
  readonly key: string | undefined;
}

/** Sends an operation. @returns its data, of this shape. @throws CommandError where there is none. */
export type Send = <Data>(query: string, variables: object, data: z.ZodType<Data>) => Promise<Data>;

const answer = z.object({
  data: z.unknown().optional(),
  errors: z.array(z.object({ message: z.string() })).optional(),
});

/** @param headers are sent with each request. */
export function createSender({ url, key }: Server, headers: Readonly<Record<string, string>>): Send {
  return async (query, variables, data) => {
    const response = await fetch(url, {
      method: "POST",
      headers: {
        ...headers,
        "content-type": "application/json",
        accept: "application/graphql-response+json",
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      },
      body: JSON.stringify({ query, variables }),
      // A key goes to the server that was named, and nowhere else.
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    }).catch((error: unknown) => {
      throw unreachable(url, error);
    });
    if (response.status === 401) throw unauthenticated(key);
    const { errors, ...body } = parse(await response.text(), response.status, url);
    if (errors) throw refused(errors, response.headers.get("retry-after"));
    return data.parse(body.data);
  };
}

function parse(text: string, status: number, url: string): z.infer<typeof answer> {
  try {
    return answer.parse(JSON.parse(text));
  } catch {
    throw new CommandError(
      `${url} answered with HTTP ${status}, and not as an AI Job Server does. Give the address of its API, which ends in /graphql.`,
    );
  }
}

function refused(errors: readonly { readonly message: string }[], retryAfter: string | null): CommandError {
  const wait = retryAfter === null ? "" : ` Send it again after ${retryAfter} seconds.`;
  return new CommandError(`${errors.map(({ message }) => message).join("\n")}${wait}`);
}

function unauthenticated(key: string | undefined): CommandError {
  return new CommandError(
    key === undefined
      ? "This server asks for a key: put one into AI_JOB_SERVER_KEY, or name a file that has it by --key-file."
      : "The server does not accept this key: it is unknown, or has ended. Put a valid one into AI_JOB_SERVER_KEY or --key-file.",
  );
}

function unreachable(url: string, error: unknown): CommandError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const elsewhere = "give another address by --url or AI_JOB_SERVER_URL";
  if (cause instanceof Error && "code" in cause && cause.code === "ECONNREFUSED")
    return new CommandError(
      `No server listens on ${url}. Start it, ${elsewhere}, or use the database of a stopped server by --direct.`,
    );
  const why = cause instanceof Error ? cause.message : String(cause);
  return new CommandError(`${url} cannot be reached (${why}). See that the server runs, or ${elsewhere}.`);
}
