import fc from "fast-check";
import * as quotas from "../../../src/quotas/quota.ts";
import { type Draw, mostly, pick, pickFrom } from "../draw.ts";
import { appliesTo, isUsedUp, quotaView, usageOf } from "../quotas.ts";
import type { Real } from "../real.ts";
import { type Answer, INVALID_INPUT, NOT_FOUND } from "../rules.ts";
import { mutation, type Step } from "../step.ts";
import { MAX, type Quota, type World } from "../world.ts";
import { claim } from "./claim.ts";
import { isDue, start } from "./start.ts";

/** The longest window, in seconds: everything in a sequence lies within it. */
const WINDOW_SECONDS = 31 * 24 * 60 * 60;

interface SetQuota extends Pick<Quota, "workspace" | "profile" | "resource" | "max"> {
  /** Whether the window is invalid: given for ACTIVE_JOBS, or missing for another resource. */
  readonly misfits?: boolean;
}

/** Creates a quota, or changes `max` of the same one. Usage before counts, too. */
export const setQuota = mutation<SetQuota>("setQuota", { expected, actual });

function expected(world: World, { workspace, profile, resource, max, misfits }: SetQuota): Answer {
  if (misfits) return INVALID_INPUT;
  if (profile !== null && !world.profiles.has(profile)) return { code: "UNKNOWN_CAPABILITY" };
  const existing = world.quotas.filter((quota) => !quota.isGone && quota.workspace === workspace);
  const same = existing.find((it) => it.profile === profile && it.resource === resource);
  const quota = same ?? { workspace, profile, resource, max, isGone: false };
  if (!same) world.quotas.push(quota);
  quota.max = max;
  return { quota: world.quotas.indexOf(quota), ...quotaView(world, quota) };
}

async function actual(real: Real, { workspace, profile, resource, max, misfits = false }: SetQuota): Promise<object> {
  const windowSeconds = (resource === "ACTIVE_JOBS") === misfits ? WINDOW_SECONDS : null;
  const input = { capabilityProfileId: profile, resource, max, windowSeconds };
  const result = await quotas.setQuota(real.engine, real.workspaceId(workspace), input);
  return real.answer(result, (quota) => ({ quota: real.quotaNumber(quota), ...real.quotaView(quota) }));
}

interface DeleteQuota {
  /** The workspace of the request. */
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

/** About what a job uses. */
const UNITS: Readonly<Record<Quota["resource"], number>> = { TOKENS: 50, COST: 5, JOBS: 1, ACTIVE_JOBS: 1 };

const quotaInput = fc.record({
  for: pick,
  whose: fc.constantFrom(...mostly(3, "all", "its", "its", "terminal", "no-such-profile")),
  resource: fc.constantFrom<Quota["resource"][]>("ACTIVE_JOBS", "ACTIVE_JOBS", "JOBS", "TOKENS", "COST"),
  /** How much more may be used from now on. */
  room: fc.constantFrom(0, 0, 1, 1, 2),
  misfits: fc.constantFrom(...mostly(20, false, true)),
});

/** Mostly a quota of a job that is due, and so small that it is soon used up. */
export const setsQuota: fc.Arbitrary<Draw> = quotaInput.map(
  ({ for: picked, whose, resource, room, misfits }): Draw =>
    (world) => {
      const job = world.jobs[pickFrom(world.jobs, picked, isDue) ?? -1];
      if (!job) return null;
      const { workspace } = job.submit;
      const profile = whose === "all" ? null : whose === "its" ? job.profile : whose;
      const now = usageOf(world, { workspace, profile, resource, max: 0, isGone: false });
      const max = now + UNITS[resource] * room;
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

/**
 * Lets a step meet a used-up quota, and soon raises or deletes it: otherwise the rest of the sequence would be refused.
 */
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
    const max = usageOf(world, quota) + UNITS[resource];
    return setQuota({ workspace, profile, resource, max: Math.min(max, MAX) });
  }
  const job = world.jobs.findIndex((each) => isDue(each) && appliesTo(quota, each));
  if (job === -1) return null;
  const worker = "worker-1";
  return way === "start" ? start({ job, worker }) : claim({ workspace, worker, kinds: null, limit: 1 });
}
