import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { JobState } from "../../src/db/generated/client/enums.ts";
import type { Engine } from "../../src/engine.ts";
import { writeVersions } from "../../src/jobs/store.ts";
import { endRunsCte } from "../../src/runs/store.ts";
import { started, submitted } from "./engine.ts";
import { aBusyJob, awaitAnswer, bringTo, stall } from "./jobs.ts";
import { insertChildren } from "./plain-sql.ts";

/** Job trees in which every state occurs. */

/** A child in this state; `meanwhile` makes what it is to have below it, as long as it has not ended. */
export async function childIn(
  engine: Engine,
  parentJobId: string,
  state: JobState,
  meanwhile: (jobId: string) => Promise<unknown> = async () => undefined,
): Promise<string> {
  if (state === "QUEUED") {
    const { jobId } = await submitted(engine, { parentJobId });
    await meanwhile(jobId);
    return jobId;
  }
  const claim = await started(engine, { parentJobId });
  const { jobId } = claim.job;
  await meanwhile(jobId);
  switch (state) {
    case "RUNNING":
      break;
    case "STALLED":
      await stall(engine, claim);
      break;
    case "AWAITING_VALIDATION":
    case "AWAITING_USER":
      await awaitAnswer(engine, claim, state);
      break;
    case "COMPLETED":
    case "COMPLETED_WITH_ISSUES":
    case "FAILED":
    case "CANCELLED":
    case "POISONED":
      await bringTo(engine, jobId, state, {}, (tx, { now }) =>
        writeVersions(tx, [], endRunsCte([{ id: claim.run.id, state, errorMessage: null, finishedAt: now }])),
      );
  }
  return jobId;
}

export interface JobTree {
  readonly rootId: string;
  /** A child of the root in each state. */
  readonly children: Readonly<Record<JobState, string>>;
  /** A running job below each of them, begun before the child came to its state; the one below COMPLETED is busy. */
  readonly grandchildren: readonly string[];
  readonly all: readonly string[];
}

/** A busy job with a child in every state there is, each with a running child of its own. */
export async function aJobTree(engine: Engine): Promise<JobTree> {
  const rootId = (await aBusyJob(engine)).job.jobId;
  const grandchildren: string[] = [];
  const child = (state: JobState) =>
    childIn(engine, rootId, state, async (parentJobId) => {
      const make = state === "COMPLETED" ? aBusyJob : started;
      grandchildren.push((await make(engine, { parentJobId })).job.jobId);
    });
  const children = {
    QUEUED: await child("QUEUED"),
    RUNNING: await child("RUNNING"),
    STALLED: await child("STALLED"),
    AWAITING_VALIDATION: await child("AWAITING_VALIDATION"),
    AWAITING_USER: await child("AWAITING_USER"),
    COMPLETED: await child("COMPLETED"),
    COMPLETED_WITH_ISSUES: await child("COMPLETED_WITH_ISSUES"),
    FAILED: await child("FAILED"),
    CANCELLED: await child("CANCELLED"),
    POISONED: await child("POISONED"),
  };
  return { rootId, children, grandchildren, all: [rootId, ...Object.values(children), ...grandchildren] };
}

/** This many queued children of one job, with as many children of one of them. */
export async function manyBelow(prisma: PrismaClient, parentJobId: string, count: number): Promise<readonly string[]> {
  await prisma.$transaction((tx) => insertChildren(tx, parentJobId, count));
  const child = await prisma.aiJob.findFirstOrThrow({ where: { parentJobId } });
  await prisma.$transaction((tx) => insertChildren(tx, child.jobId, count));
  const all = await prisma.aiJob.findMany({ where: { parentJobId: { in: [parentJobId, child.jobId] } } });
  return all.map(({ jobId }) => jobId);
}
