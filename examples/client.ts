import { setTimeout } from "node:timers/promises";
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { print } from "graphql";

/** A server's API, and the key to prove oneself with where it asks for one. */
export interface Api {
  readonly url: string;
  readonly key?: string | undefined;
}

/** @returns the headers by which a request proves itself; none where there is no key. */
export function credentialOf(key: string | undefined): Record<string, string> {
  return key === undefined ? {} : { authorization: `Bearer ${key}` };
}

/**
 * The server refused the request as a whole, because it was malformed or a required value of the answer was missing.
 */
export class RequestRefused extends Error {
  override readonly name = "RequestRefused";
}

/** Sends a typed operation over HTTP. @returns its data. */
export async function send<Data, Variables>(
  { url, key }: Api,
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/graphql-response+json",
      ...credentialOf(key),
    },
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

/** The data needs no further check: the server validated the operation against the schema that its type comes from. */
function isAnswer<Data>(value: unknown): value is Answer<Data> {
  return typeof value === "object" && value !== null && ("data" in value || "errors" in value);
}

/** How long to wait before the same request is sent again, in milliseconds. */
const PAUSES = [50, 200, 800];

/** Repeats a request while the answer is TRY_AGAIN, which means that the server stored nothing of it. */
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
