import { z } from "zod";

/** What the benchmark tells its subscribers' process, and what it is answered. */

const group = z.string();

export const order = z.discriminatedUnion("kind", [
  /** Another subscriber for each of the jobs. Done when all are subscribed. */
  z.object({ kind: z.literal("open"), group, url: z.string(), query: z.string(), jobIds: z.array(z.string()) }),
  /** An event comes next, to so many of the group. Done at once; the times follow when it has reached all of them. */
  z.object({ kind: z.literal("collect"), group, count: z.int() }),
  z.object({ kind: z.literal("close"), group }),
]);

export type Order = z.infer<typeof order>;

export const answer = z.union([
  z.object({ done: z.literal(true) }),
  z.object({ times: z.array(z.number()) }),
  z.object({ failure: z.string() }),
]);

export type Answer = z.infer<typeof answer>;
