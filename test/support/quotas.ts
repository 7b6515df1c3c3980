import { randomUUID } from "node:crypto";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { startWorkflow } from "../../src/claims/start.ts";
import type { AiJob, PrismaClient } from "../../src/db/generated/client/client.ts";
import type { JobKind } from "../../src/db/generated/client/enums.ts";
import type { EngineContext } from "../../src/engine.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { type SetQuota, setQuota } from "../../src/quotas/quota.ts";
import type { QuotaUsage } from "../../src/quotas/usage.ts";
import { testSide } from "./database.ts";
import { aSubmit, ok, SOMEBODY } from "./engine.ts";

/**
 * A workspace of a test's own, with the commands in it. DOC_SUMMARIZE has the profile `default`, TERMINAL_EXEC
 * `terminal`.
 */
export function aWorkspace(engine: EngineContext, workspaceId: string = randomUUID()) {
  const submit = (jobKind: JobKind = "DOC_SUMMARIZE", idempotencyKey: string | null = null) =>
    submitAiJob(engine, workspaceId, SOMEBODY, aSubmit({ jobKind, idempotencyKey }));
  const start = (jobId: string) => startWorkflow(engine, workspaceId, { jobId, workerId: "w", leaseSeconds: 60 });
  return {
    workspaceId,
    submit,
    start,
    submitted: async (jobKind?: JobKind): Promise<AiJob> => ok(await submit(jobKind)).job,
    started: async (jobId: string): Promise<Claim> => {
      const claim = ok(await start(jobId));
      if (!("leaseToken" in claim)) throw new Error("The job was poisoned instead of started.");
      return claim;
    },
    quota: async (resource: SetQuota["resource"], max: number, more: Partial<SetQuota> = {}): Promise<QuotaUsage> => {
      const windowSeconds = resource === "ACTIVE_JOBS" ? null : 3600;
      return ok(
        await setQuota(engine, workspaceId, { capabilityProfileId: null, resource, max, windowSeconds, ...more }),
      );
    },
    jobs: () => testSide(engine).aiJob.count({ where: { workspaceId } }),
  };
}

export type TestWorkspace = ReturnType<typeof aWorkspace>;

/** The start of the minute that many minutes before the current one. */
export function minuteAgo(minutes: number): Date {
  return new Date((Math.floor(Date.now() / 60_000) - minutes) * 60_000);
}

/** Stores usage of an earlier minute, as the aggregation does. @returns the start of that minute. */
export async function usedAgo(
  prisma: PrismaClient,
  { workspaceId }: TestWorkspace,
  minutes: number,
  used: { readonly tokens?: number; readonly jobs?: number; readonly capabilityProfileId?: string },
): Promise<Date> {
  const minute = minuteAgo(minutes);
  await prisma.workspace.upsert({ where: { workspaceId }, create: { workspaceId }, update: {} });
  await prisma.usageMinute.create({
    data: { workspaceId, capabilityProfileId: "default", tokens: 0, jobs: 0, minute, ...used },
  });
  return minute;
}
