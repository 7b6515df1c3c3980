import fc from "fast-check";
import type { ModelCall } from "../../src/jobs/usage/model-usage.ts";
import { HOSTILE } from "../support/jobs.ts";
import { SECRET } from "./payload.ts";
import type { Proof } from "./reports.ts";
import { type Delta, deltaOf } from "./rules.ts";
import type { Step } from "./step.ts";
import { holdsLease, type Job, MAX, type Progress, type Run, type World } from "./world.ts";

/**
 * Generators of random steps. Most steps refer to something that an earlier step made, so their input can be determined
 * only when they are executed.
 */

/** Makes the step from the world at that time and the steps so far; null if there is nothing to apply it to. */
export type Draw = (world: World, taken: readonly Step[]) => Step | null;

/** Selects one of several items: mostly a suitable one, sometimes any, sometimes one that does not exist. */
interface Pick {
  readonly back: number;
  readonly wild: number;
}

export const pick: fc.Arbitrary<Pick> = fc.record({ back: fc.nat(11), wild: fc.nat(79) });

/** The index of the selected item, preferring new ones; -1 for one that does not exist; null if none is suitable. */
export function pickFrom<T>(all: readonly T[], { back, wild }: Pick, isSuitable: (item: T) => boolean): number | null {
  const candidates = all.flatMap((item, number) => (wild >= 77 || isSuitable(item) ? [number] : []));
  const choice = wild === 79 ? [-1, ...candidates] : candidates;
  return choice.at(-1 - (back % choice.length)) ?? null;
}

/** Draws a step about one job, mostly one to which the step can be applied. */
export function aboutJob<More>(
  more: fc.Arbitrary<More>,
  isSuitable: (job: Job, world: World, more: More) => boolean,
  make: (job: number, more: More) => Step,
): fc.Arbitrary<Draw> {
  return fc.tuple(pick, more).map(
    ([picked, drawn]): Draw =>
      (world) => {
        const job = pickFrom(world.jobs, picked, (each) => isSuitable(each, world, drawn));
        return job === null ? null : make(job, drawn);
      },
  );
}

/** Draws a report: mostly of a run with a lease and with its token, otherwise of an old run, or with another token. */
export function reportStep<More>(
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

/** Draws a batch of reports of different runs, because the schema refuses a run that is named twice. */
export function reportBatchStep<More>(
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

/** The arguments for `fc.constantFrom` that give `usual` most of the time. */
export function mostly<T>(times: number, usual: T, ...others: readonly T[]): readonly T[] {
  return [...Array.from({ length: times }, () => usual), ...others];
}

export const worker = fc.constantFrom("worker-1", "worker-2", "worker-3");

export const reportId = fc.constantFrom(...mostly<number | null>(2, null, 1, 2, 3, 4, 5));

/** The progress that a report brings: mostly none; the same at times, and one that poisons. */
export const progress = fc.constantFrom(
  ...mostly<Progress | null>(
    8,
    null,
    { fraction: 0.5, message: null },
    { fraction: 0.5, message: null },
    { fraction: 1 / 3, message: "reading" },
    { fraction: null, message: "writing" },
    { fraction: 0, message: `signs in with ${SECRET}` },
    { fraction: 1, message: null },
    { fraction: 1, message: HOSTILE },
  ),
);

const call: fc.Arbitrary<ModelCall> = fc.record({
  provider: fc.constantFrom("openai", "local"),
  model: fc.constantFrom("gpt-5", "small"),
  inputTokens: fc.nat(20),
  cachedInputTokens: fc.nat(10),
  outputTokens: fc.nat(10),
  reasoningTokens: fc.nat(10),
  costMicros: fc.constantFrom(0, 1, 999, 1_000_000),
});

export const calls = fc.array(call, { minLength: 1, maxLength: 3 });

const count = fc.nat(100);
const part = fc.nat(30);

/** The metrics of a report: none, some, invalid ones, or so large ones that a later report cannot be added. */
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
  { weight: 12, arbitrary: calls.map(deltaOf) },
  // Other tokens than those of the calls.
  { weight: 1, arbitrary: calls.map((usage) => ({ ...deltaOf(usage), outputTokens: 1000 })) },
  { weight: 3, arbitrary: fc.constant({ inputTokens: 50 }) },
  { weight: 1, arbitrary: fc.constant({ entitiesWritten: 1 }) },
  { weight: 1, arbitrary: fc.constantFrom({ durationMs: MAX }, { validatorsRunCount: MAX }, { outputTokens: MAX }) },
);
