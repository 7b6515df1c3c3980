import { z } from "zod";
import { HOSTILE, HOSTILE_LATER } from "./plan.ts";

/** What a job's inputs say to whoever works on it. */

const childSchema = z.object({
  jobKind: z.enum(["DOC_SUMMARIZE", "DOC_EDIT"]),
  protocolId: z.string(),
  accessMode: z.enum(["APPLY_SCOPED", "ANALYSIS_ONLY"]),
  entityRefs: z.array(z.object({ entityKind: z.string(), entityId: z.string() })),
  jobInputs: z.object({ text: z.string() }).nullable(),
  priority: z.number(),
  maxAttempts: z.number(),
  tokenBudget: z.number().nullable(),
  labels: z.array(z.object({ key: z.string(), value: z.string() })),
});
type PlannedChild = z.infer<typeof childSchema>;

export const inputsSchema = z
  .object({
    text: z.string().optional(),
    /** The children that it is to have: in its inputs, so that every worker submits the same ones, in whatever language it is. */
    children: z.array(childSchema).optional(),
  })
  .nullable();

/** @returns a child as it is to be submitted. */
export function childOf({ jobInputs, ...planned }: PlannedChild): PlannedChild {
  return { ...planned, jobInputs: jobInputs?.text === HOSTILE_LATER ? { text: HOSTILE } : jobInputs };
}
