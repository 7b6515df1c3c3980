import { z } from "zod";
import type { AiJob } from "../db/generated/client/client.ts";
import { OperationType } from "../db/generated/client/enums.ts";
import { entityRefSchema } from "./access-mode.ts";
import { boundedText } from "./input-text.ts";

const OPERATION_TYPE_BY_DB_VALUE: ReadonlyMap<string, OperationType> = new Map(
  Object.values(OperationType).map((type) => [type.toLowerCase(), type]),
);

/** As it is stored: the operation by its snake_case word, as every enum in the database. */
const storedOperationsSchema = z.array(
  z.object({
    opType: z.string().transform((word, context) => OPERATION_TYPE_BY_DB_VALUE.get(word) ?? invalid(word, context)),
    target: entityRefSchema,
    description: boundedText(2000, 0).nullable(),
  }),
);

function invalid(word: string, context: z.RefinementCtx): never {
  context.addIssue({ code: "custom", message: `${word} is no operation type` });
  return z.NEVER;
}

export type StoredOperation = z.infer<typeof storedOperationsSchema>[number];

/** A job's `planned_operations`, as they were validated on the way in. */
export function plannedOperationsOf(job: Pick<AiJob, "plannedOperations">): readonly StoredOperation[] {
  return storedOperationsSchema.parse(job.plannedOperations);
}
