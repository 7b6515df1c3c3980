import type { AiJob } from "../db/generated/client/client.ts";
import type { Claim } from "./acquire-lease.ts";
import type { Claimant } from "./fairness.ts";
import type { ClaimDemand } from "./queue-partitions.ts";

/** One worker's request for the next due jobs. */
export type ClaimAiJobs = Claimant & ClaimDemand;

/** The answer to a claim. */
export interface Claimed {
  /** The leased jobs, the most urgent first. */
  readonly claims: readonly Claim[];
  /** Due jobs that a guard poisoned, so they were not delivered. */
  readonly poisoned: readonly AiJob[];
}

/** The answer to a claim that found no due job. */
export const NOTHING: Claimed = { claims: [], poisoned: [] };

/** Tells whether a claim found no due job. */
export function isEmpty({ claims, poisoned }: Claimed): boolean {
  return claims.length === 0 && poisoned.length === 0;
}
