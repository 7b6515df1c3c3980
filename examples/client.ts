import { setTimeout } from "node:timers/promises";
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { print } from "graphql";

/** The server refused the request as a whole: it was malformed, or an answer was null where it may not be. */
export class RequestRefused extends Error {
  override readonly name = "RequestRefused";
}

/** Sends a typed operation over HTTP and gives its data. */
export async function send<Data, Variables>(
  url: string,
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/graphql-response+json" },
    body: JSON.stringify({ query: print(document), variables }),
  });
  const answer: unknown = await response.json();
  if (!isAnswer<Data>(answer)) throw new RequestRefused(`HTTP ${response.status} without a GraphQL answer.`);
  const { data, errors } = answer;
  if (errors !== undefined || data == null) throw new RequestRefused(errors?.map(({ message }) => message).join("\n"));
  return data;
}

interface Answer<Data> {
  readonly data?: Data | null;
  readonly errors?: readonly { readonly message: string }[];
}

/** The shape of the data needs no look: the operation was checked against the schema, and its type comes from there. */
function isAnswer<Data>(value: unknown): value is Answer<Data> {
  return typeof value === "object" && value !== null && ("data" in value || "errors" in value);
}

/** Milliseconds before the same is sent once more. */
const PAUSES = [50, 200, 800];

/** Asks again while the server is too busy: after TRY_AGAIN nothing of the request was kept (api.graphql). */
export async function untilHeard<Result extends { readonly __typename: string }>(
  ask: () => Promise<Result>,
): Promise<Result> {
  let answer = await ask();
  for (const pause of PAUSES) {
    if (answer.__typename !== "TryAgainError") break;
    await setTimeout(pause);
    answer = await ask();
  }
  return answer;
}
