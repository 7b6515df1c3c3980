import fc from "fast-check";
import { expectAnswer, expectSame, expectWhole } from "./compare.ts";
import type { Draw } from "./draw.ts";
import { expectSameLists, type Filter } from "./lists.ts";
import { advances } from "./mutations/advance.ts";
import { aggregates } from "./mutations/aggregate.ts";
import { appends } from "./mutations/append.ts";
import { asks, endsWaits, limitsPass } from "./mutations/ask.ts";
import { bulks } from "./mutations/bulk.ts";
import { cancels } from "./mutations/cancel.ts";
import { claims } from "./mutations/claim.ts";
import { completions } from "./mutations/complete.ts";
import { fails } from "./mutations/fail.ts";
import { givesBack } from "./mutations/give-back.ts";
import { restoreGrants, restores, revokes } from "./mutations/grant.ts";
import { heartbeats } from "./mutations/heartbeat.ts";
import { records, secondsPass } from "./mutations/progress.ts";
import { deletesQuota, meetsQuota, setsQuota } from "./mutations/quota.ts";
import { recovers } from "./mutations/recover.ts";
import { repeats } from "./mutations/repeat.ts";
import { answers, reviews, verdicts } from "./mutations/resolve.ts";
import { retries } from "./mutations/retry.ts";
import { starts, startsDue } from "./mutations/start.ts";
import { submits } from "./mutations/submit.ts";
import { leasesEnd, preferencesEnd, waitsEnd } from "./mutations/time.ts";
import { setsUsageLabels } from "./mutations/usage-labels.ts";
import { uses } from "./mutations/use.ts";
import { violations } from "./mutations/violation.ts";
import { wakes } from "./mutations/wake.ts";
import type { Real } from "./real.ts";
import type { Step } from "./step.ts";
import { everyQuestion, expectSameReports } from "./usage-report.ts";
import { newWorld, type World } from "./world.ts";

/** The generators of all mutations with their weights. A new mutation is one line here. */
const MUTATIONS: readonly (readonly [draws: fc.Arbitrary<Draw>, weight: number])[] = [
  [submits, 6],
  [starts, 4],
  [claims, 10],
  [advances, 20],
  [appends, 6],
  [heartbeats, 14],
  [records, 4],
  [secondsPass, 6],
  [completions, 14],
  [verdicts, 18],
  [reviews, 18],
  [fails, 4],
  [givesBack, 8],
  [wakes, 4],
  [asks, 8],
  [answers, 12],
  [limitsPass, 3],
  [endsWaits, 3],
  [uses, 10],
  [repeats, 8],
  [cancels, 12],
  [retries, 4],
  [bulks, 2],
  [violations, 3],
  [recovers, 3],
  [leasesEnd, 4],
  [waitsEnd, 4],
  [preferencesEnd, 4],
  [revokes, 4],
  [setsQuota, 6],
  [deletesQuota, 1],
  [setsUsageLabels, 2],
  [aggregates, 1],
];

/** One sequence: the model, the server, and the steps so far. */
export class Sequence {
  readonly world: World = newWorld();
  readonly real: Real;
  readonly taken: Step[] = [];

  constructor(real: Real) {
    this.real = real;
  }

  /**
   * Executes a step on both sides. @throws Error if the answers differ, or the stored data of the jobs that it changed.
   */
  take(step: Step): Promise<void> {
    this.taken.push(step);
    return this.#withSteps(async () => {
      const eventCounts = this.world.jobs.map(({ events }) => events.length);
      const expected = step.expected(this.world);
      expectAnswer(await step.actual(this.real), expected);
      await expectSame(
        this.real,
        this.world.jobs.filter(({ number, events }) => events.length > (eventCounts[number] ?? 0)),
      );
    });
  }

  /** Compares everything at the end: all stored data, and what the API shows of it. */
  expectWhole(url: string, filter: Filter, asked = everyQuestion(filter.workspace)): Promise<void> {
    return this.#withSteps(async () => {
      await expectWhole(this.world, this.real);
      await expectSameLists(this.world, this.real, url, filter);
      await expectSameReports(this.world, this.real, url, asked);
    });
  }

  /** Undoes what another sequence could notice: open jobs, and changes of the profiles, which all workspaces share. */
  async cleanUp(): Promise<void> {
    await this.real.cancelAll();
    await restoreGrants(this.world, this.real);
  }

  async #withSteps(compare: () => Promise<void>): Promise<void> {
    try {
      await compare();
    } catch (cause) {
      const steps = this.taken.map(({ text }) => `  await sequence.take(${text});`).join("\n");
      throw new Error(`After these steps the server differs from the model:\n${steps}`, { cause });
    }
  }
}

class Command implements fc.AsyncCommand<Sequence, Real> {
  readonly #draw: Draw;

  constructor(draw: Draw) {
    this.#draw = draw;
  }

  check({ world, taken }: Sequence): boolean {
    return this.#draw(world, taken) !== null;
  }

  async run(sequence: Sequence): Promise<void> {
    const step = this.#draw(sequence.world, sequence.taken);
    if (step) await sequence.take(step);
  }

  toString(): string {
    return "step";
  }
}

/** Random sequences of all mutations. A step that cannot be applied is replaced by another one. */
export function sequences(maxCommands: number) {
  const weighted = MUTATIONS.map(([arbitrary, weight]) => ({ arbitrary, weight }));
  const drawn = fc.array(fc.oneof(...weighted), { minLength: 3, maxLength: 3 });
  // The last choices: they also let jobs accumulate before one is claimed.
  const fallback = fc.oneof(
    fc.tuple(submits),
    fc.tuple(startsDue, waitsEnd, submits),
    fc.tuple(claims, waitsEnd, submits),
  );
  const draws = fc.tuple(restores, meetsQuota, drawn, fallback).map(
    ([restore, meet, some, others]): Draw =>
      (...soFar) => {
        for (const draw of [restore, meet, ...some, ...others]) {
          const step = draw(...soFar);
          if (step) return step;
        }
        return null;
      },
  );
  return fc.commands([draws.map((draw) => new Command(draw))], { maxCommands, size: "max" });
}
