import { z } from "zod";

/** What the benchmark tells its subscribers' process, and what it is answered. */

/** Of the server that they subscribe to. */
const url = z.string();

export const order = z.discriminatedUnion("kind", [
  /** Another subscriber for each of the jobs. Done when all are subscribed. */
  z.object({ kind: z.literal("open"), url, query: z.string(), jobIds: z.array(z.string()) }),
  /** Events come next, to so many of them. Done at once; the times follow when they have reached everybody. */
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
