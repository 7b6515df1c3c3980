import { z } from "zod";
import type { AiJob } from "../../db/generated/client/client.ts";
import { JobState } from "../../db/generated/client/enums.ts";
import type { JobSummary } from "../../db/job-columns.ts";
import { type JsonValue, toDbEnum } from "../../db/rows.ts";
import { type BudgetExceededError, IllegalTransitionError, JobPoisonedError } from "../../errors.ts";
import { budgetExceeded } from "../retry.ts";

/** Why a job of a bulk action was left as it is: what the same change of that job alone would have answered. */
export type ItemError = IllegalTransitionError | JobPoisonedError | BudgetExceededError;

const dbJobState = z
  .string()
  .transform((text) => text.toUpperCase())
  .pipe(z.enum(JobState));

/** What is kept of an error: what it is made of, not its message, which may be put better one day. */
const storedErrorSchema = z.discriminatedUnion("code", [
  z.object({ code: z.literal("ILLEGAL_TRANSITION"), from: dbJobState, to: dbJobState }),
  z.object({ code: z.literal("JOB_POISONED") }),
  z.object({ code: z.literal("BUDGET_EXCEEDED"), total_tokens: z.int(), token_budget: z.int() }),
]);

/** An error as an item keeps it, in the words of the database. */
export function toStored(
  error: ItemError,
  { totalTokens, tokenBudget }: JobSummary,
): z.input<typeof storedErrorSchema> {
  switch (error.code) {
    case "ILLEGAL_TRANSITION":
      return { code: error.code, from: toDbEnum(error.from), to: toDbEnum(error.to) };
    case "JOB_POISONED":
      return { code: error.code };
    case "BUDGET_EXCEEDED":
      return { code: error.code, total_tokens: Number(totalTokens), token_budget: Number(tokenBudget) };
  }
}

/**
 * The error that an item keeps, as it was; null where there is none.
 * @param job reads the item's job, which the error of a poisoned one shows. A poisoned job is as it was then, for good.
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
        totalTokens: BigInt(storedError.total_tokens),
        tokenBudget: BigInt(storedError.token_budget),
      });
  }
}
