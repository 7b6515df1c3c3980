import { setTimeout } from "node:timers/promises";
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { type ExecutionResult, print } from "graphql";
import { createClient } from "graphql-sse";
import { type Api, credentialOf } from "../client.ts";

/** What every subscription of the agent selects, under the alias `told`. */
interface Told<Item> {
  readonly told: Item;
}

/** How many times in a row a stream may break off before it is given up, and the pause before it is begun again, in milliseconds. */
const MAX_FAILURES = 5;
const PAUSE_MS = 200;

/**
 * Follows a subscription to its end, or until `signal`. Where the stream breaks off, it goes on behind the last cursor: nothing is
 * missed, and nothing comes twice.
 */
export async function* follow<Item extends { readonly cursor: string }, Variables extends object>(
  api: Api,
  document: TypedDocumentNode<Told<Item>, Variables>,
  variables: NoInfer<Omit<Variables, "after">>,
  signal: AbortSignal,
): AsyncGenerator<Item, void> {
  const client = createClient({ url: api.url, headers: credentialOf(api.key), retryAttempts: 0 });
  signal.addEventListener("abort", () => client.dispose(), { once: true });
  let after: string | null = null;
  for (let failures = 0; !signal.aborted; failures += 1) {
    try {
      const stream: AsyncIterable<ExecutionResult<Told<Item>>> = client.iterate({
        query: print(document),
        variables: { ...variables, after },
      });
      for await (const { data, errors } of stream) {
        if (errors) throw new Error(errors.map(({ message }) => message).join("\n"));
        if (!data) continue;
        failures = 0;
        after = data.told.cursor;
        yield data.told;
      }
      return;
    } catch (error) {
      if (failures >= MAX_FAILURES && !signal.aborted) throw error;
      await setTimeout(PAUSE_MS * 2 ** failures);
    }
  }
}
