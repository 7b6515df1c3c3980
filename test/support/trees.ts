import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { JobState } from "../../src/db/generated/client/enums.ts";
import { toDbEnum } from "../../src/db/rows.ts";
import type { EngineContext } from "../../src/engine.ts";
import { writeVersions } from "../../src/jobs/store.ts";
import { releaseLeasesCte } from "../../src/runs/store.ts";
import { started, submitted } from "./engine.ts";
import { aBusyJob, awaitAnswer, bringTo, stall } from "./jobs.ts";
import { insertChildren } from "./plain-sql.ts";

/** Job trees with jobs in every state. */

/**
 * Makes a child in this state.
 * @param meanwhile called before the child can have ended, to give it children of its own.
 * @returns the child's id.
 */
export async function childIn(
  engine: EngineContext,
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
        writeVersions(
          tx,
          [],
          releaseLeasesCte([
            { id: claim.run.id, state, errorMessage: null, finishedAt: now, endReason: toDbEnum(state) },
          ]),
        ),
      );
  }
  return jobId;
}

export interface JobTree {
  readonly rootId: string;
  /** A child of the root in each state. */
  readonly children: Readonly<Record<JobState, string>>;
  /** A running child of each of them, started before its parent reached its state. That of COMPLETED is a busy job. */
  readonly grandchildren: readonly string[];
  readonly all: readonly string[];
}

/** A busy job with a child in every state, each with a running child of its own. */
export async function aJobTree(engine: EngineContext): Promise<JobTree> {
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

/** Makes `count` queued children of a job, and as many of one of them. @returns the ids of all. */
export async function manyBelow(prisma: PrismaClient, parentJobId: string, count: number): Promise<readonly string[]> {
  await prisma.$transaction((tx) => insertChildren(tx, parentJobId, count));
  const child = await prisma.aiJob.findFirstOrThrow({ where: { parentJobId } });
  await prisma.$transaction((tx) => insertChildren(tx, child.jobId, count));
  const all = await prisma.aiJob.findMany({ where: { parentJobId: { in: [parentJobId, child.jobId] } } });
  return all.map(({ jobId }) => jobId);
}
