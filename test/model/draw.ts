import fc from "fast-check";
import type { Proof } from "./reports.ts";
import type { Delta } from "./rules.ts";
import type { Step } from "./step.ts";
import { holdsLease, type Job, MAX, type Run, type World } from "./world.ts";

/**
 * How steps are drawn. A step mostly points at something that an earlier one made, so that its input is known only when
 * its turn comes.
 */

/** Makes the step out of what there is by then, and of what was done; null where there is nothing to do it to. */
export type Draw = (world: World, taken: readonly Step[]) => Step | null;

/** Points at one of several things: mostly at one that is apt, now and then at any, or at one that does not exist. */
interface Pick {
  readonly back: number;
  readonly wild: number;
}

export const pick: fc.Arbitrary<Pick> = fc.record({ back: fc.nat(11), wild: fc.nat(79) });

/** The number of what is picked, counted from the newest; -1 for what does not exist; null where nothing is apt. */
export function pickFrom<T>(all: readonly T[], { back, wild }: Pick, apt: (item: T) => boolean): number | null {
  const fitting = all.flatMap((item, number) => (wild >= 77 || apt(item) ? [number] : []));
  const choice = wild === 79 ? [-1, ...fitting] : fitting;
  return choice.at(-1 - (back % choice.length)) ?? null;
}

/** Draws a step about one job, mostly one to which it can be done. */
export function aboutJob<More>(
  more: fc.Arbitrary<More>,
  apt: (job: Job, world: World, more: More) => boolean,
  make: (job: number, more: More) => Step,
): fc.Arbitrary<Draw> {
  return fc.tuple(pick, more).map(
    ([picked, drawn]): Draw =>
      (world) => {
        const job = pickFrom(world.jobs, picked, (each) => apt(each, world, drawn));
        return job === null ? null : make(job, drawn);
      },
  );
}

/** Draws a report: mostly by the holder of a lease with its own token, else of an old run, or with another's token. */
export function byHolder<More>(
  more: fc.Arbitrary<More>,
  make: (proof: Proof, more: More, run: Run | undefined) => Step,
): fc.Arbitrary<Draw> {
  return fc.tuple(pickedProof, more).map(
    ([picked, drawn]): Draw =>
      (world) => {
        const proof = proofFrom(world, picked);
        return proof && make(proof, drawn, world.claims[proof.run]);
      },
  );
}

/** Draws a batch of reports about different runs: the schema lets no run be named twice. */
export function byHolders<More>(
  max: number,
  more: fc.Arbitrary<More>,
  make: (batch: readonly (Proof & More)[], world: World) => Step | null,
): fc.Arbitrary<Draw> {
  const batch = fc.array(fc.tuple(pickedProof, more), { minLength: 1, maxLength: max });
  return batch.map(
    (items): Draw =>
      (world) => {
        const reports = new Map<number, Proof & More>();
        for (const [picked, drawn] of items) {
          const proof = proofFrom(world, picked);
          if (proof) reports.set(proof.run, { ...proof, ...drawn });
        }
        return reports.size === 0 ? null : make([...reports.values()], world);
      },
  );
}

interface PickedProof {
  readonly of: Pick;
  readonly token: Pick;
}

const pickedProof: fc.Arbitrary<PickedProof> = fc.record({ of: pick, token: pick });

function proofFrom({ claims }: World, { of, token }: PickedProof): Proof | null {
  const run = pickFrom(claims, of, holdsLease);
  return run === null ? null : { run, token: pickFrom(claims, token, () => false) ?? run };
}

/** For `fc.constantFrom`: one value most of the time. */
export function mostly<T>(times: number, usual: T, ...others: readonly T[]): readonly T[] {
  return [...Array.from({ length: times }, () => usual), ...others];
}

export const worker = fc.constantFrom("worker-1", "worker-2", "worker-3");

export const reportId = fc.constantFrom(...mostly<number | null>(2, null, 1, 2, 3, 4, 5));

const count = fc.nat(100);
const part = fc.nat(30);

/** What a report adds: nothing, something, what no job may have, or so much that a later report cannot be added. */
export const delta: fc.Arbitrary<Delta> = fc.oneof(
  { weight: 8, arbitrary: fc.constant({}) },
  { weight: 12, arbitrary: fc.record({ inputTokens: count, outputTokens: count, durationMs: count }) },
  {
    weight: 12,
    arbitrary: fc.record(
      { inputTokens: count, tokensPlanner: part, tokensExecutor: part, entitiesRead: count, validatorsRunCount: count },
      { requiredKeys: [] },
    ),
  },
  { weight: 3, arbitrary: fc.constant({ inputTokens: 50 }) },
  { weight: 1, arbitrary: fc.constant({ entitiesWritten: 1 }) },
  { weight: 1, arbitrary: fc.constantFrom({ durationMs: MAX }, { validatorsRunCount: MAX }, { outputTokens: MAX }) },
);
