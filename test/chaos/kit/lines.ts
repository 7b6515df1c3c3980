import { z } from "zod";
import { momentSchema } from "../entries.ts";

/**
 * What a worker with a kit writes into its journal: what it saw itself, in whatever language. The steady clock is one that all threads of
 * the machine share.
 */

/** The kit tells a handler which job it has, and which attempt at it. */
const ofJob = { jobId: z.string(), attempt: z.number() };

export const kitLineSchema = z.discriminatedUnion("type", [
  /** Written each time before the kit sends a request; `exchange` is an id of the line's own. */
  z.object({
    type: z.literal("asked"),
    exchange: z.string(),
    operation: z.string(),
    variables: z.looseObject({ input: z.unknown().optional() }),
    at: momentSchema,
  }),
  /** Written when the whole answer was read, before the kit gets it. Without one, nobody knows what became of the request. */
  z.object({ type: z.literal("got"), exchange: z.string(), answer: z.unknown(), at: momentSchema }),
  /** Written when the kit calls a step's function; `calledAt` is when the handler asked for the step. */
  z.object({ type: z.literal("working"), nodeId: z.string(), calledAt: momentSchema, ...ofJob }),
  /** Written when the handler's signal is aborted: with the reason's name and message. */
  z.object({ type: z.literal("aborted"), reason: z.string(), message: z.string(), at: momentSchema, ...ofJob }),
  /** A line of the kit's log. */
  z.object({ type: z.literal("logged"), line: z.string() }),
]);
export type KitLine = z.infer<typeof kitLineSchema>;
export type LineOf<Type extends KitLine["type"]> = Extract<KitLine, { type: Type }>;
