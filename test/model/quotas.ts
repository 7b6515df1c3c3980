import type { Refusal } from "./rules.ts";
import { type Job, type Quota, type Submit, total, type World } from "./world.ts";

/** What quotas count and forbid. Their windows are longer than any sequence: nothing leaves them. */

/** What quotas know of a job, before there is one, too. */
type Counted = Pick<Job, "profile"> & { readonly submit: Pick<Submit, "workspace"> };

/** How much of a quota is used at this moment. */
export function used({ jobs }: World, quota: Quota): number {
  const counted = jobs.filter((job) => isAbout(quota, job));
  switch (quota.resource) {
    case "TOKENS":
      return total(counted).totalTokens;
    case "JOBS":
      return counted.length;
    case "ACTIVE_JOBS":
      return counted.filter(({ state }) => ACTIVE.includes(state)).length;
  }
}

const ACTIVE: readonly Job["state"][] = ["RUNNING", "AWAITING_VALIDATION", "AWAITING_USER"];

export function isUsedUp(world: World, quota: Quota): boolean {
  return !quota.isGone && used(world, quota) >= quota.max;
}

/** Whether anybody can tell when there is room again: something leaves a window, and that is enough. */
function frees(quota: Quota): boolean {
  return quota.resource !== "ACTIVE_JOBS" && quota.max > 0;
}

/** A quota as everybody sees it. */
export function pictureOfQuota(world: World, quota: Quota) {
  const { workspace, profile, resource, max } = quota;
  return {
    workspace,
    profile,
    resource,
    max,
    used: used(world, quota),
    frees: isUsedUp(world, quota) && frees(quota),
  };
}

/**
 * Why these submits, or starts, are forbidden, in their order; null where they are not. One that may go on takes what is
 * then not there for those after it, whatever becomes of it.
 */
export function judgeByQuotas(
  world: World,
  step: "JOBS" | "ACTIVE_JOBS",
  jobs: readonly Counted[],
): readonly (Refusal | null)[] {
  const before: Counted[] = [];
  return jobs.map((job) => {
    const full = world.quotas.filter((quota) => {
      if (quota.isGone || !isAbout(quota, job)) return false;
      if (quota.resource === "TOKENS") return used(world, quota) >= quota.max;
      const taken = before.filter((other) => isAbout(quota, other)).length;
      return quota.resource === step && used(world, quota) + taken >= quota.max;
    });
    if (full.length === 0) before.push(job);
    else return { code: "BUDGET_EXCEEDED", ...(full.every(frees) ? { frees: true } : {}) };
    return null;
  });
}

/** Whether a claim does not so much as look at this job. */
export function isPassedOver(world: World, job: Job): boolean {
  return world.quotas.some((quota) => quota.resource !== "JOBS" && isAbout(quota, job) && isUsedUp(world, quota));
}

export function isAbout(quota: Quota, { profile, submit: { workspace } }: Counted): boolean {
  return quota.workspace === workspace && (quota.profile === null || quota.profile === profile);
}
