import { z } from "zod";
import { type BudgetExceededError, IllegalTransitionError, JobPoisonedError } from "../errors.ts";
import { type JobHead, type JsonValue, word } from "../storage/columns.ts";
import type { AiJob } from "../storage/generated/client/client.ts";
import { JobState } from "../storage/generated/client/enums.ts";
import { budgetPassed } from "./retry-job.ts";

/** Why a job of a bulk action was left as it is: what the same change of that job alone would have answered. */
export type ItemError = IllegalTransitionError | JobPoisonedError | BudgetExceededError;

const stateWord = z
  .string()
  .transform((text) => text.toUpperCase())
  .pipe(z.enum(JobState));

/** What is kept of an error: what it is made of, not its message, which may be put better one day. */
const stored = z.discriminatedUnion("code", [
  z.object({ code: z.literal("ILLEGAL_TRANSITION"), from: stateWord, to: stateWord }),
  z.object({ code: z.literal("JOB_POISONED") }),
  z.object({ code: z.literal("BUDGET_EXCEEDED"), total_tokens: z.int(), token_budget: z.int() }),
]);

/** An error as an item keeps it, in the words of the database. */
export function toStored(error: ItemError, { totalTokens, tokenBudget }: JobHead): z.input<typeof stored> {
  switch (error.code) {
    case "ILLEGAL_TRANSITION":
      return { code: error.code, from: word(error.from), to: word(error.to) };
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
  const kept = stored.parse(error);
  switch (kept.code) {
    case "ILLEGAL_TRANSITION":
      return new IllegalTransitionError(kept.from, kept.to);
    case "JOB_POISONED":
      return new JobPoisonedError(await job());
    case "BUDGET_EXCEEDED":
      return budgetPassed({ totalTokens: BigInt(kept.total_tokens), tokenBudget: BigInt(kept.token_budget) });
  }
}
