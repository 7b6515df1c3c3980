import { expect } from "vitest";
import type { PrismaClient } from "../../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../../src/engine.ts";
import { listQuotas, setQuota } from "../../../src/quotas/quota.ts";
import { ok, WORKSPACE } from "../../support/engine.ts";
import { expectSound, recordsOfAll } from "../../support/records.ts";
import { expectExact } from "../../support/totals.ts";

/** What the database counts, counted again from the rows of the jobs. */

/** A quota that sequences meet; the others only count. */
export const MAX_JOBS = 6;

const QUOTAS = [
  { capabilityProfileId: null, resource: "JOBS", max: MAX_JOBS, windowSeconds: 86_400 },
  { capabilityProfileId: "terminal", resource: "JOBS", max: 1000, windowSeconds: 86_400 },
  { capabilityProfileId: null, resource: "TOKENS", max: 1_000_000, windowSeconds: 86_400 },
  { capabilityProfileId: "default", resource: "TOKENS", max: 1_000_000, windowSeconds: 86_400 },
  { capabilityProfileId: null, resource: "ACTIVE_JOBS", max: 1000, windowSeconds: null },
] as const;

export async function setQuotas(engine: EngineContext): Promise<void> {
  for (const quota of QUOTAS) ok(await setQuota(engine, WORKSPACE, quota));
}

/** Expects that totals and quotas are what the rows add up to, and that each job's events form its chain. */
export async function expectRecounted(prisma: PrismaClient): Promise<void> {
  await expectExact(prisma);
  const jobs = await prisma.aiJob.findMany();
  const ofProfile = (profile: string | null) =>
    jobs.filter(({ capabilityProfileId }) => profile === null || capabilityProfileId === profile);
  const used = QUOTAS.map(({ capabilityProfileId, resource }) => {
    const counted = ofProfile(capabilityProfileId);
    if (resource === "TOKENS") return counted.reduce((sum, { totalTokens }) => sum + totalTokens, 0n);
    return BigInt(resource === "JOBS" ? counted.length : counted.filter(({ state }) => state === "RUNNING").length);
  });
  expect((await listQuotas(prisma, WORKSPACE)).map((quota) => quota.used)).toEqual(used);
  const records = await recordsOfAll(
    prisma,
    jobs.map(({ jobId }) => jobId),
  );
  for (const each of records.values()) expectSound(each);
}
