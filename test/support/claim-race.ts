import { expect } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { testSide } from "./database.ts";
import { aSubmit, ok, SOMEBODY } from "./engine.ts";
import { claimFrom, type RequestOptions } from "./workers.ts";

/** Many workers that claim from one server at the same time. */

const CLIENTS = 64;

/** Submits `count` jobs, 8 at a time, to these workspaces in rotation. @returns the ids of the jobs. */
export async function submitMany(
  engine: EngineContext,
  count: number,
  workspaces: readonly string[],
): Promise<string[]> {
  const jobIds: string[] = [];
  let next = 0;
  const submitter = async () => {
    for (let index = next++; index < count; index = next++) {
      const workspaceId = workspaces[index % workspaces.length] ?? "";
      jobIds.push(ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit())).job.jobId);
    }
  };
  await Promise.all(Array.from({ length: 8 }, submitter));
  return jobIds;
}

export interface ClaimedJobs {
  readonly jobIds: readonly string[];
  readonly tokens: readonly string[];
  /**
   * How many claims got nothing although more jobs were due than all clients together could be claiming. It must be 0:
   * a claim that gets nothing then has been blocked by the locks of others.
   */
  readonly emptyClaims: number;
}

/** 64 clients claim over HTTP, each again and again, until `count` jobs are claimed. */
export async function claimAll(
  url: string,
  count: number,
  limit: number,
  options: RequestOptions,
): Promise<ClaimedJobs> {
  const jobIds: string[] = [];
  const tokens: string[] = [];
  let emptyClaims = 0;
  const client = async (_: unknown, index: number) => {
    while (jobIds.length < count) {
      const { claims } = await claimFrom(url, { workerId: `worker-${index}`, limit, leaseSeconds: 900 }, options);
      if (claims.length === 0 && jobIds.length + CLIENTS * limit < count) emptyClaims++;
      for (const { job, leaseToken } of claims) {
        jobIds.push(job.jobId);
        tokens.push(leaseToken);
      }
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return { jobIds, tokens, emptyClaims };
}

/** Expects that every job was delivered exactly once, and has exactly one running run. */
export async function expectEachOnce(
  engine: Pick<EngineContext, "prisma">,
  expected: readonly string[],
  { jobIds, tokens }: ClaimedJobs,
): Promise<void> {
  const prisma = testSide(engine);
  const count = expected.length;
  expect(jobIds).toHaveLength(count);
  expect(new Set(jobIds)).toEqual(new Set(expected));
  expect(new Set(tokens).size).toBe(count);
  const where = { jobId: { in: [...expected] } };
  expect(await prisma.workflowRun.count({ where: { ...where, state: "RUNNING", attempt: 1 } })).toBe(count);
  expect(await prisma.aiJob.count({ where: { ...where, state: "RUNNING", version: 2 } })).toBe(count);
}
