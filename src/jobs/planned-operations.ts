import { z } from "zod";
import type { AiJob } from "../db/generated/client/client.ts";
import { OperationType } from "../db/generated/client/enums.ts";
import { entityRefSchema } from "./access-mode.ts";
import { boundedText } from "./input-text.ts";

const OPERATION_TYPE_BY_DB_VALUE: ReadonlyMap<string, OperationType> = new Map(
  Object.values(OperationType).map((type) => [type.toLowerCase(), type]),
);

/** The stored form: the operation type in lower case, as every enum value in the database (section 2). */
const storedOperationsSchema = z.array(
  z.object({
    opType: z.string().transform((word, context) => OPERATION_TYPE_BY_DB_VALUE.get(word) ?? invalid(word, context)),
    target: entityRefSchema,
    description: boundedText(2000, 0).nullable(),
  }),
);

function invalid(word: string, context: z.RefinementCtx): never {
  context.addIssue({ code: "custom", message: `${word} is not an operation type` });
  return z.NEVER;
}

/** A planned operation as read from the database. */
export type StoredOperation = z.infer<typeof storedOperationsSchema>[number];

/** @returns a job's `planned_operations`, validated at the submit. @throws ZodError if the stored value is malformed. */
export function plannedOperationsOf(job: Pick<AiJob, "plannedOperations">): readonly StoredOperation[] {
  return storedOperationsSchema.parse(job.plannedOperations);
}
