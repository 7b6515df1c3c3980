import fc from "fast-check";
import * as quotas from "../../../src/quotas/quota.ts";
import { type Draw, mostly, pick, pickFrom } from "../draw.ts";
import { isAbout, isUsedUp, pictureOfQuota, used } from "../quotas.ts";
import type { Real } from "../real.ts";
import { type Answer, INVALID_INPUT, NOT_FOUND } from "../rules.ts";
import { mutation, type Step } from "../step.ts";
import { MAX, type Quota, type World } from "../world.ts";
import { claim } from "./claim.ts";
import { isDue, start } from "./start.ts";

/** The longest window there is: whatever happens in a sequence is in it. */
const WINDOW = 31 * 24 * 60 * 60;

interface SetQuota extends Pick<Quota, "workspace" | "profile" | "resource" | "max"> {
  /** It has a window where it takes none, or none where it needs one. */
  readonly misfits?: boolean;
}

/** A quota is made, or the most of the one that is about the same is changed; what was used before counts. */
export const setQuota = mutation<SetQuota>("setQuota", { expected, actual });

function expected(world: World, { workspace, profile, resource, max, misfits }: SetQuota): Answer {
  if (misfits) return INVALID_INPUT;
  if (profile !== null && !world.profiles.has(profile)) return { code: "UNKNOWN_CAPABILITY" };
  const here = world.quotas.filter((it) => !it.isGone && it.workspace === workspace);
  const same = here.find((it) => it.profile === profile && it.resource === resource);
  const quota = same ?? { workspace, profile, resource, max, isGone: false };
  if (!same) world.quotas.push(quota);
  quota.max = max;
  return { quota: world.quotas.indexOf(quota), ...pictureOfQuota(world, quota) };
}

async function actual(real: Real, { workspace, profile, resource, max, misfits = false }: SetQuota): Promise<object> {
  const windowSeconds = (resource === "ACTIVE_JOBS") === misfits ? WINDOW : null;
  const input = { capabilityProfileId: profile, resource, max, windowSeconds };
  const result = await quotas.setQuota(real.engine, real.workspaceId(workspace), input);
  return real.answer(result, (quota) => ({ quota: real.quotaNumber(quota), ...real.pictureOfQuota(quota) }));
}

interface DeleteQuota {
  /** Where it is looked for. */
  readonly workspace: number;
  readonly quota: number;
}

export const deleteQuota = mutation<DeleteQuota>("deleteQuota", {
  expected: (world, { workspace, quota: number }) => {
    const quota = world.quotas[number];
    if (quota?.workspace !== workspace || quota.isGone) return NOT_FOUND;
    quota.isGone = true;
    return { deleted: number };
  },
  actual: async (real, { workspace, quota }) => {
    const result = await quotas.deleteQuota(real.engine, real.workspaceId(workspace), real.quotaId(quota));
    return real.answer(result, (deleted) => ({ deleted: real.quotaNumber(deleted) }));
  },
});

const one = fc.record({
  for: pick,
  whose: fc.constantFrom(...mostly(3, "all", "its", "its", "terminal", "no-such-profile")),
  resource: fc.constantFrom<Quota["resource"][]>("ACTIVE_JOBS", "ACTIVE_JOBS", "JOBS", "TOKENS"),
  /** How much may be used from now on. */
  room: fc.constantFrom(0, 0, 1, 1, 2),
  misfits: fc.constantFrom(...mostly(20, false, true)),
});

/** Mostly about a job that somebody may take now, and with so little room that it is soon used up. */
export const setsQuota: fc.Arbitrary<Draw> = one.map(
  ({ for: picked, whose, resource, room, misfits }): Draw =>
    (world) => {
      const job = world.jobs[pickFrom(world.jobs, picked, isDue) ?? -1];
      if (!job) return null;
      const { workspace } = job.submit;
      const profile = whose === "all" ? null : whose === "its" ? job.profile : whose;
      const now = used(world, { workspace, profile, resource, max: 0, isGone: false });
      const max = resource === "TOKENS" ? now + 50 * room : now + room;
      return setQuota({ workspace, profile, resource, max: Math.min(max, MAX), ...(misfits ? { misfits } : {}) });
    },
);

export const deletesQuota: fc.Arbitrary<Draw> = fc.tuple(pick, fc.nat(9)).map(
  ([picked, wild]): Draw =>
    (world) => {
      const quota = pickFrom(world.quotas, picked, ({ isGone }) => !isGone);
      const own = world.quotas[quota ?? -1]?.workspace ?? 0;
      return quota === null ? null : deleteQuota({ workspace: wild === 0 ? (own + 1) % 3 : own, quota });
    },
);

const ways = fc.constantFrom("start", "start", "claim", "raise", "delete");

/** What is used up is run into, and soon lifted: with it, little happens. */
export const meetsQuota: fc.Arbitrary<Draw> = fc.option(ways, { freq: 1 }).map(
  (way): Draw =>
    (world) => {
      const quota = world.quotas.find((each) => isUsedUp(world, each));
      return quota && way ? meet(world, quota, way) : null;
    },
);

function meet(world: World, quota: Quota, way: "start" | "claim" | "raise" | "delete"): Step | null {
  const { workspace, profile, resource } = quota;
  if (way === "delete") return deleteQuota({ workspace, quota: world.quotas.indexOf(quota) });
  if (way === "raise") {
    const max = used(world, quota) + (resource === "TOKENS" ? 50 : 1);
    return setQuota({ workspace, profile, resource, max: Math.min(max, MAX) });
  }
  const job = world.jobs.findIndex((each) => isDue(each) && isAbout(quota, each));
  if (job === -1) return null;
  const worker = "worker-1";
  return way === "start" ? start({ job, worker }) : claim({ workspace, worker, kinds: null, limit: 1 });
}
