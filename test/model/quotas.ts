import { type Refusal, tokensOfCall } from "./rules.ts";
import { type CountedCall, type Job, MAX, type Quota, type Submit, sumMetrics, type World } from "./world.ts";

/** What quotas count and refuse. Their windows are longer than any sequence, so usage never leaves them. */

/** The part of a job that quotas depend on; a submit that is refused has it, too. */
type Counted = Pick<Job, "profile"> & { readonly submit: Pick<Submit, "workspace"> };

/** How much of a quota is used now. */
export function usageOf({ jobs }: World, quota: Quota): number {
  const counted = jobs.filter((job) => appliesTo(quota, job));
  switch (quota.resource) {
    case "TOKENS":
      return Math.min(sumMetrics(counted).totalTokens + tokensBeside(counted), MAX);
    case "COST":
      return Math.min(
        callsOf(counted).reduce((total, { call }) => total + call.costMicros, 0),
        MAX,
      );
    case "JOBS":
      return counted.length;
    case "ACTIVE_JOBS":
      return counted.filter(({ state }) => ACTIVE.includes(state)).length;
  }
}

/** The tokens that were reported after jobs were poisoned. */
function tokensBeside(jobs: readonly Job[]): number {
  const beside = callsOf(jobs).filter(({ isBeside }) => isBeside);
  return beside.reduce((total, { call }) => total + tokensOfCall(call), 0);
}

/** All calls that were counted, also those that were reported after the job was poisoned. */
function callsOf(jobs: readonly Job[]): readonly CountedCall[] {
  return jobs.flatMap(({ runs }) => runs).flatMap(({ calls }) => calls);
}

const ACTIVE: readonly Job["state"][] = ["RUNNING", "AWAITING_VALIDATION"];

export function isUsedUp(world: World, quota: Quota): boolean {
  return !quota.isGone && usageOf(world, quota) >= quota.max;
}

/** Whether the server can say when usage falls below the quota: when enough of it has left the window. */
function freesByTime(quota: Quota): boolean {
  return quota.resource !== "ACTIVE_JOBS" && quota.max > 0;
}

/** A quota as the API shows it. */
export function quotaView(world: World, quota: Quota) {
  const { workspace, profile, resource, max } = quota;
  return {
    workspace,
    profile,
    resource,
    max,
    used: usageOf(world, quota),
    frees: isUsedUp(world, quota) && freesByTime(quota),
  };
}

/**
 * Why these submits or starts are refused, in their order; null for each that is admitted. An admitted one counts
 * against the quota for those after it, even if it fails later for another reason.
 */
export function admitByQuotas(
  world: World,
  step: "JOBS" | "ACTIVE_JOBS",
  jobs: readonly Counted[],
): readonly (Refusal | null)[] {
  const admitted: Counted[] = [];
  return jobs.map((job) => {
    const exhausted = world.quotas.filter((quota) => {
      if (quota.isGone || !appliesTo(quota, job)) return false;
      if (quota.resource === "TOKENS" || quota.resource === "COST") return usageOf(world, quota) >= quota.max;
      const reserved = admitted.filter((other) => appliesTo(quota, other)).length;
      return quota.resource === step && usageOf(world, quota) + reserved >= quota.max;
    });
    if (exhausted.length === 0) admitted.push(job);
    else return { code: "BUDGET_EXCEEDED", ...(exhausted.every(freesByTime) ? { frees: true } : {}) };
    return null;
  });
}

/** Whether claims skip this job because a quota is used up. */
export function isSkippedByClaims(world: World, job: Job): boolean {
  return world.quotas.some((quota) => quota.resource !== "JOBS" && appliesTo(quota, job) && isUsedUp(world, quota));
}

export function appliesTo(quota: Quota, { profile, submit: { workspace } }: Counted): boolean {
  return quota.workspace === workspace && (quota.profile === null || quota.profile === profile);
}
