import fc from "fast-check";
import { claimAiJobs } from "../../../src/claims/claim.ts";
import { type Draw, mostly, worker } from "../draw.ts";
import { admitByQuotas, isSkippedByClaims } from "../quotas.ts";
import type { Real } from "../real.ts";
import { type Answer, deny, missingCapability } from "../rules.ts";
import { mutation } from "../step.ts";
import { advanceRotation, assignRoundRobin, byUrgency } from "../turns.ts";
import type { Job, World } from "../world.ts";
import { hostilePlace, isDue, lease, trap } from "./start.ts";

interface Claim {
  /** Null: all workspaces, in turns. */
  readonly workspace: number | null;
  readonly worker: string;
  readonly kinds: readonly Job["submit"]["kind"][] | null;
  readonly limit: number;
}

/**
 * Section 6, "Claim": due jobs by priority, then by age. A job that was sent back is reserved for its worker for a
 * while.
 */
export const claim = mutation<Claim>("claim", { expected, actual });

function expected(world: World, { workspace, worker: name, kinds, limit }: Claim): Answer {
  const ofWorkspace = world.jobs.filter(({ submit }) => workspace === null || submit.workspace === workspace);
  const candidates = ofWorkspace.filter((job) => isDue(job) && (kinds?.includes(job.submit.kind) ?? true));
  const due = candidates.filter((job) => isAvailableTo(job, name) && !isSkippedByClaims(world, job));
  const locked = assignRoundRobin(world, due, limit).toSorted(byUrgency);
  const refusals = admitByQuotas(world, "ACTIVE_JOBS", locked);
  const next = locked.filter((_, index) => !refusals[index]);
  if (workspace === null) advanceRotation(world, next);
  const leased = next.flatMap((job) => {
    const missing = missingCapability(world, job);
    if (missing === null) return lease(job, name);
    deny(job, missing, "claim");
    return [];
  });
  const claims: unknown[] = [];
  const poisoned: number[] = [];
  // All jobs are leased before the first is guarded. A violation in one may poison another that is its descendant.
  for (const { run, version } of leased) {
    const { job } = run;
    const isHostile = hostilePlace(job) !== null;
    const isPoisoned = job.state === "POISONED";
    if (!isHostile) {
      world.claims.push(run);
      claims.push({ taken: job.number, attempt: run.attempt, version });
    } else if (!isPoisoned) {
      trap(world, job);
      poisoned.push(job.number);
    }
  }
  return { claims, poisoned };
}

function isAvailableTo({ preferred }: Job, name: string): boolean {
  return preferred === null || preferred.isOver || preferred.worker === name;
}

async function actual(real: Real, { workspace, worker: workerId, kinds, limit }: Claim): Promise<object> {
  const { engine } = real;
  const workspaceId = workspace === null ? null : real.workspaceId(workspace);
  const claimed = await claimAiJobs(engine, { workspaceId, workerId, jobKinds: kinds, limit, leaseSeconds: 900 });
  const claims = claimed.claims.map((each) => {
    real.addClaim(each);
    return { taken: real.numberOf(each.job), attempt: each.run.attempt, version: each.job.version };
  });
  return { claims, poisoned: claimed.poisoned.map((job) => real.numberOf(job)) };
}

export const claims: fc.Arbitrary<Draw> = fc
  .record<Claim>({
    workspace: fc.constantFrom(null, null, null, 0, 0, 1, 2),
    worker,
    kinds: fc.constantFrom(...mostly<Claim["kinds"]>(3, null, ["DOC_EDIT", "DOC_SUMMARIZE"])),
    limit: fc.constantFrom(1, 1, 2, 3),
  })
  .map(
    (input): Draw =>
      ({ jobs }) =>
        jobs.some((job) => isDue(job) && (input.workspace ?? job.submit.workspace) === job.submit.workspace)
          ? claim(input)
          : null,
  );
