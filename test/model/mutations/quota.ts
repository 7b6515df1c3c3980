import fc from "fast-check";
import * as quotas from "../../../src/quotas/quota.ts";
import { type Draw, mostly, pick, pickFrom } from "../draw.ts";
import { isUsedUp, pictureOfQuota, used } from "../quotas.ts";
import type { Real } from "../real.ts";
import { type Answer, INVALID_INPUT, NOT_FOUND } from "../rules.ts";
import { mutation } from "../step.ts";
import type { Quota, World } from "../world.ts";

/** The longest window there is: whatever happens in a sequence is in it. */
const WINDOW = 31 * 24 * 60 * 60;

interface SetQuota extends Pick<Quota, "profile" | "resource" | "most"> {
  /** It has a window where it takes none, or none where it needs one. */
  readonly misfits?: boolean;
}

/** A quota is made, or the most of the one that is about the same is changed; what was used before counts. */
export const setQuota = mutation<SetQuota>("setQuota", { expected, actual });

function expected(world: World, { profile, resource, most, misfits }: SetQuota): Answer {
  if (misfits) return INVALID_INPUT;
  if (profile !== null && !world.profiles.has(profile)) return { code: "UNKNOWN_CAPABILITY" };
  const same = world.quotas.find((it) => !it.isGone && it.profile === profile && it.resource === resource);
  const quota = same ?? { profile, resource, most, isGone: false };
  if (!same) world.quotas.push(quota);
  quota.most = most;
  return { quota: world.quotas.indexOf(quota), ...pictureOfQuota(world, quota) };
}

async function actual(real: Real, { profile, resource, most, misfits = false }: SetQuota): Promise<object> {
  const windowSeconds = (resource === "ACTIVE_JOBS") === misfits ? WINDOW : null;
  const input = { capabilityProfileId: profile, resource, most, windowSeconds };
  const result = await quotas.setQuota(real.engine, real.workspaceId, input);
  return real.answer(result, (quota) => ({ quota: real.quotaNumber(quota), ...real.pictureOfQuota(quota) }));
}

interface DeleteQuota {
  readonly quota: number;
}

export const deleteQuota = mutation<DeleteQuota>("deleteQuota", {
  expected: (world, { quota: number }) => {
    const quota = world.quotas[number];
    if (!quota || quota.isGone) return NOT_FOUND;
    quota.isGone = true;
    return { deleted: number };
  },
  actual: async (real, { quota }) => {
    const result = await quotas.deleteQuota(real.engine, real.workspaceId, real.quotaId(quota));
    return real.answer(result, (deleted) => ({ deleted: real.quotaNumber(deleted) }));
  },
});

const one = fc.record({
  profile: fc.constantFrom(...mostly<string | null>(6, null, "default", "default", "terminal", "no-such-profile")),
  resource: fc.constantFrom<Quota["resource"][]>("ACTIVE_JOBS", "ACTIVE_JOBS", "JOBS", "TOKENS"),
  /** How much may be used from now on. */
  room: fc.constantFrom(1, 1, 2, 2, 3, 0),
  misfits: fc.constantFrom(...mostly(20, false, true)),
});

/** Mostly with so little room that it is soon used up. */
export const setsQuota: fc.Arbitrary<Draw> = one.map(
  ({ profile, resource, room, misfits }): Draw =>
    (world) => {
      const now = used(world, { profile, resource, most: 0, isGone: false });
      const most = resource === "TOKENS" ? now + 50 * room : now + room;
      return setQuota({ profile, resource, most: Math.min(most, 2 ** 53 - 1), ...(misfits ? { misfits } : {}) });
    },
);

export const deletesQuota: fc.Arbitrary<Draw> = pick.map(
  (picked): Draw =>
    (world) => {
      const quota = pickFrom(world.quotas, picked, ({ isGone }) => !isGone);
      return quota === null ? null : deleteQuota({ quota });
    },
);

/** What is used up is soon lifted: with it, little happens. */
export const lifts: fc.Arbitrary<Draw> = fc
  .constantFrom<("delete" | "raise" | null)[]>("delete", "raise", null, null, null)
  .map(
    (how): Draw =>
      (world) => {
        const number = world.quotas.findIndex((quota) => isUsedUp(world, quota));
        const quota = world.quotas[number];
        if (!quota || how === null) return null;
        if (how === "delete") return deleteQuota({ quota: number });
        const { profile, resource } = quota;
        const most = used(world, quota) + (resource === "TOKENS" ? 50 : 1);
        return setQuota({ profile, resource, most: Math.min(most, 2 ** 53 - 1) });
      },
  );
