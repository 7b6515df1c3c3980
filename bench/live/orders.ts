import { z } from "zod";

/** The messages between the benchmark and the process of the subscribers. */

/** The server that they subscribe to. */
const url = z.string();

export const order = z.discriminatedUnion("kind", [
  /**
   * Adds a subscriber for each of the variables; answered when all are subscribed. What they are told then has the text `event`; only
   * snapshots may lack it.
   */
  z.object({
    kind: z.literal("open"),
    url,
    query: z.string(),
    variables: z.array(z.record(z.string(), z.unknown())),
    event: z.string(),
  }),
  /** Announces events to this many subscribers; answered at once. The times follow when all have received them. */
  z.object({ kind: z.literal("collect"), url, count: z.int() }),
  z.object({ kind: z.literal("close"), url }),
]);

export type Order = z.infer<typeof order>;

export const answer = z.union([
  z.object({ done: z.literal(true) }),
  z.object({ times: z.array(z.number()) }),
  z.object({ failure: z.string() }),
]);

export type Answer = z.infer<typeof answer>;
