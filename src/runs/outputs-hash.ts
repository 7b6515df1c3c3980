import { canonicalHash } from "../canonical-hash.ts";
import type { JsonValue } from "../db/rows.ts";
import type { CommandContext } from "../db/transaction.ts";
import { largeHash } from "../threads/large-hash.ts";

/**
 * The hash of a run's outputs, which the event of their completion has: so the log says for ever what a run answered, whatever became
 * of it (section 9).
 */

/** Something with outputs: a completion. Its hash is computed once. */
interface WithOutputs {
  readonly jobOutputs: JsonValue;
}

const hashes = new WeakMap<WithOutputs, string>();

/** @returns SHA-256, in hexadecimal, of the outputs' canonical JSON; null where there are none. */
export function outputsHashOf(completion: WithOutputs): string | null {
  const { jobOutputs } = completion;
  return jobOutputs === null ? null : (hashes.get(completion) ?? canonicalHash(jobOutputs));
}

/**
 * Computes the hash of large outputs ahead of their transaction, in a worker thread.
 * @throws TryAgainError where too much large content waits already.
 */
export async function hashLargeOutputs({ client }: CommandContext, completion: WithOutputs): Promise<void> {
  const hash = completion.jobOutputs === null ? null : await largeHash(client, completion.jobOutputs);
  if (hash !== null) hashes.set(completion, hash);
}
