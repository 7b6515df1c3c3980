import { type Operation, textOf } from "./document.ts";
import { JobServerError, type RefusalDetails, UnansweredError } from "./errors.ts";

/** Where the server is, and as whom to speak with it. */
export interface Connection {
  /** The address of the API, such as http://127.0.0.1:4000/graphql. */
  readonly url: string | URL;
  /** An API key or a token; left out on a server that asks for none. */
  readonly key?: string | undefined;
  /** The workspace to be in, for a key of the whole deployment; left out, that of the key. */
  readonly workspaceId?: string | undefined;
  /** Further headers of each request. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** The longest time that an answer may take, in milliseconds, where the caller names none: more than the longest wait of a claim. */
const TIMEOUT_MS = 60_000;

export interface RequestOptions {
  readonly signal?: AbortSignal | undefined;
  /** After so many milliseconds without an answer it counts as unanswered. */
  readonly timeoutMs?: number;
}

/** @returns the headers by which a request says who asks, and in which workspace. */
export function headersOf({ key, workspaceId, headers }: Connection): Record<string, string> {
  return {
    ...headers,
    ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    ...(workspaceId === undefined ? {} : { "x-workspace-id": workspaceId }),
  };
}

/**
 * Sends an operation once.
 * @returns its data, as the server's types say.
 * @throws JobServerError where the whole request was refused; UnansweredError where no answer came; the reason of `signal`, once it is aborted.
 */
export async function request<Data, Variables>(
  connection: Connection,
  operation: Operation<Data, Variables>,
  variables: Variables,
  { signal, timeoutMs = TIMEOUT_MS }: RequestOptions = {},
): Promise<Data> {
  // Before anything else: what is no JSON is the caller's mistake, and would be one again.
  const body = JSON.stringify({ query: textOf(operation), variables });
  const timeout = AbortSignal.timeout(timeoutMs);
  let response: Response;
  let answer: unknown;
  try {
    response = await fetch(connection.url, {
      method: "POST",
      headers: {
        ...headersOf(connection),
        "content-type": "application/json",
        accept: "application/graphql-response+json, application/json;q=0.9",
      },
      body,
      // What is sent, and the key with it, is for the server that was named and for no other.
      redirect: "manual",
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    if (response.status === 413)
      throw new JobServerError("INVALID_INPUT", "The request is too large for the server, or a proxy before it.");
    answer = parsed(await response.text());
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof JobServerError) throw cause;
    throw new UnansweredError(`${String(connection.url)} did not answer.`, { cause });
  }
  if (!isAnswer<Data>(answer))
    throw new UnansweredError(`${String(connection.url)} answered with HTTP ${response.status}, and no GraphQL.`);
  return dataOf(answer, response);
}

/** @returns the value of a JSON text; undefined for a text that is none, such as a proxy's page. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

interface GraphQLErrorShape {
  readonly message: string;
  readonly extensions?: { readonly code?: string } & Pick<RefusalDetails, "issues">;
}

/** What the server answers an operation, or says of a subscription. */
export interface Answer<Data> {
  readonly data?: Data | null;
  readonly errors?: readonly GraphQLErrorShape[];
}

/** The data needs no further check: the server validated the operation against the schema that its type comes from. */
function isAnswer<Data>(value: unknown): value is Answer<Data> {
  return typeof value === "object" && value !== null && ("data" in value || "errors" in value);
}

/**
 * @returns the data of an answer.
 * @throws JobServerError where it has none, or errors.
 */
export function dataOf<Data>({ data, errors = [] }: Answer<Data>, response?: Response): Data {
  if (errors.length > 0 || data == null) throw refusalOf(errors, response);
  return data;
}

/** @returns why a request got no stream: what the server says, or that nobody knows. */
export async function refusalIn(response: Response): Promise<JobServerError | UnansweredError> {
  const answer: unknown = await response.json().catch(() => null);
  if (!isAnswer(answer)) return new UnansweredError(`HTTP ${response.status} without a stream.`);
  return refusalOf(answer.errors ?? [], response);
}

/** The error of a whole request that was refused. */
function refusalOf(errors: readonly GraphQLErrorShape[], response?: Response): JobServerError {
  const [first] = errors;
  const message = errors.map((error) => error.message).join("\n") || `HTTP ${response?.status} without data.`;
  const seconds = Number(response?.headers.get("retry-after") ?? Number.NaN);
  return new JobServerError(first?.extensions?.code ?? "INTERNAL_SERVER_ERROR", message, {
    ...(first?.extensions?.issues ? { issues: first.extensions.issues } : {}),
    ...(Number.isFinite(seconds) ? { retryAfterMs: seconds * 1000 } : {}),
  });
}
