import { z } from "zod";
import type { AiJob } from "../../db/generated/client/client.ts";
import { JobState } from "../../db/generated/client/enums.ts";
import type { JobSummary } from "../../db/job-columns.ts";
import { type JsonValue, toDbEnum } from "../../db/rows.ts";
import { type BudgetExceededError, IllegalTransitionError, JobPoisonedError } from "../../errors.ts";
import { passedBudget } from "../metrics.ts";
import { budgetExceeded } from "../retry.ts";

/** Why a bulk action did not change a job: the error that the same change of that job alone returns. */
export type ItemError = IllegalTransitionError | JobPoisonedError | BudgetExceededError;

const dbJobState = z
  .string()
  .transform((text) => text.toUpperCase())
  .pipe(z.enum(JobState));

/** The stored form of an error: its code and values without its message, so that messages can be reworded later. */
const storedErrorSchema = z.discriminatedUnion("code", [
  z.object({ code: z.literal("ILLEGAL_TRANSITION"), from: dbJobState, to: dbJobState }),
  z.object({ code: z.literal("JOB_POISONED") }),
  z.object({ code: z.literal("BUDGET_EXCEEDED"), of: z.enum(["tokens", "cost"]), used: z.int(), budget: z.int() }),
]);

/** @returns an error as an item stores it, with enum values as in the database. */
export function toStored(error: ItemError, job: JobSummary): z.input<typeof storedErrorSchema> {
  switch (error.code) {
    case "ILLEGAL_TRANSITION":
      return { code: error.code, from: toDbEnum(error.from), to: toDbEnum(error.to) };
    case "JOB_POISONED":
      return { code: error.code };
    case "BUDGET_EXCEEDED": {
      const passed = passedBudget(job, job);
      if (!passed) throw new Error(`Job ${job.jobId} was refused for a budget that it has not passed.`);
      return { code: error.code, of: passed.of, used: Number(passed.used), budget: Number(passed.budget) };
    }
  }
}

/**
 * Rebuilds the error that an item stores.
 * @param job reads the item's job. It is called only for JOB_POISONED, which contains the job. A poisoned job never changes, so
 *   it is the same job as when the error was stored.
 * @returns the error; null where the item has none.
 * @throws ZodError if the stored value is malformed.
 */
export async function fromStored(error: JsonValue, job: () => Promise<AiJob>): Promise<ItemError | null> {
  if (error === null) return null;
  const storedError = storedErrorSchema.parse(error);
  switch (storedError.code) {
    case "ILLEGAL_TRANSITION":
      return new IllegalTransitionError(storedError.from, storedError.to);
    case "JOB_POISONED":
      return new JobPoisonedError(await job());
    case "BUDGET_EXCEEDED":
      return budgetExceeded({
        of: storedError.of,
        used: BigInt(storedError.used),
        budget: BigInt(storedError.budget),
      });
  }
}
