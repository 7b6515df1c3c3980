import type { AiJob } from "../db/generated/client/client.ts";
import type { Claim } from "./acquire-lease.ts";
import type { Claimant } from "./fairness.ts";
import type { ClaimDemand } from "./queue-partitions.ts";

/** What one worker asks for. */
export type ClaimAiJobs = Claimant & ClaimDemand;

/** What it is answered. */
export interface Claimed {
  /** The most urgent first. */
  readonly claims: readonly Claim[];
  /** Jobs that a guard stopped instead of delivering them. */
  readonly poisoned: readonly AiJob[];
}

/** The answer where nothing was due. */
export const NOTHING: Claimed = { claims: [], poisoned: [] };

/** Whether a claim found nothing at all. */
export function isEmpty({ claims, poisoned }: Claimed): boolean {
  return claims.length === 0 && poisoned.length === 0;
}
