import type { QuotaResource } from "@ai-job-server/sdk/client";
import { microsIn, money, typedAmount, whole, wholeIn } from "../ui/numbers.ts";

/** What quotas count, in words, and their amounts: money in millionths, the others whole. */

export const RESOURCES = ["COST", "TOKENS", "JOBS", "ACTIVE_JOBS"] as const satisfies readonly QuotaResource[];

export const RESOURCE_WORDS = {
  COST: "Cost of models",
  TOKENS: "Tokens",
  JOBS: "Jobs submitted",
  ACTIVE_JOBS: "Jobs at the same time",
} as const satisfies Record<QuotaResource, string>;

export function amountText(resource: QuotaResource, amount: number, currency: string): string {
  return resource === "COST" ? money(amount, currency) : whole(amount);
}

/** @returns an amount as it is typed; null for what is none. */
export function amountIn(resource: QuotaResource, text: string): number | null {
  return resource === "COST" ? microsIn(text) : wholeIn(text);
}

export function amountTyped(resource: QuotaResource, amount: number): string {
  return resource === "COST" ? typedAmount(amount) : String(amount);
}
