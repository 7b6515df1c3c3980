import { expect } from "vitest";
import type { Engine } from "../../src/engine.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { aSubmit, ok, SOMEBODY } from "./engine.ts";
import { claimFrom, type RequestOptions } from "./workers.ts";

/** Many workers that claim from one server at once. */

const CLIENTS = 64;

/** Submits jobs to these workspaces, in turn. */
export async function submitMany(engine: Engine, count: number, workspaces: readonly string[]): Promise<string[]> {
  const jobIds: string[] = [];
  let at = 0;
  const lane = async () => {
    for (let mine = at++; mine < count; mine = at++) {
      const workspaceId = workspaces[mine % workspaces.length] ?? "";
      jobIds.push(ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit())).job.jobId);
    }
  };
  await Promise.all(Array.from({ length: 8 }, lane));
  return jobIds;
}

export interface ClaimedJobs {
  readonly jobIds: readonly string[];
  readonly tokens: readonly string[];
  /** Claims that were answered with nothing while there was more than everybody together was taking. */
  readonly sentAwayEmpty: number;
}

/** 64 clients claim over HTTP, again and again, until all jobs are taken. */
export async function claimAll(url: string, count: number, limit: number, ways: RequestOptions): Promise<ClaimedJobs> {
  const jobIds: string[] = [];
  const tokens: string[] = [];
  let sentAwayEmpty = 0;
  const client = async (_: unknown, at: number) => {
    while (jobIds.length < count) {
      const { claims } = await claimFrom(url, { workerId: `worker-${at}`, limit, leaseSeconds: 900 }, ways);
      if (claims.length === 0 && jobIds.length + CLIENTS * limit < count) sentAwayEmpty++;
      for (const { job, leaseToken } of claims) {
        jobIds.push(job.jobId);
        tokens.push(leaseToken);
      }
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return { jobIds, tokens, sentAwayEmpty };
}

/** Every job was given once, and is held once. */
export async function expectEachOnce(
  { prisma }: Pick<Engine, "prisma">,
  expected: readonly string[],
  { jobIds, tokens }: ClaimedJobs,
): Promise<void> {
  const count = expected.length;
  expect(jobIds).toHaveLength(count);
  expect(new Set(jobIds)).toEqual(new Set(expected));
  expect(new Set(tokens).size).toBe(count);
  const where = { jobId: { in: [...expected] } };
  expect(await prisma.workflowRun.count({ where: { ...where, state: "RUNNING", attempt: 1 } })).toBe(count);
  expect(await prisma.aiJob.count({ where: { ...where, state: "RUNNING", version: 2 } })).toBe(count);
}
