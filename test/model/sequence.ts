import fc from "fast-check";
import { expectAnswer, expectChained, expectSame } from "./compare.ts";
import { expectSameLists, type Filter } from "./lists.ts";
import { advances } from "./mutations/advance.ts";
import { cancels } from "./mutations/cancel.ts";
import { completions } from "./mutations/complete.ts";
import { fails } from "./mutations/fail.ts";
import { restoreGrants, restores, revokes } from "./mutations/grant.ts";
import { heartbeats } from "./mutations/heartbeat.ts";
import { recover, recovers } from "./mutations/recover.ts";
import { starts, startsDue } from "./mutations/start.ts";
import { submits } from "./mutations/submit.ts";
import { leasesEnd, waitsEnd } from "./mutations/time.ts";
import { violations } from "./mutations/violation.ts";
import type { Real } from "./real.ts";
import type { Draw, Step } from "./step.ts";
import { newWorld, type World } from "./world.ts";

/** How often each mutation is drawn, of all of them together. A new mutation is one line here. */
const MUTATIONS: readonly (readonly [draws: fc.Arbitrary<Draw>, weight: number])[] = [
  [submits, 2],
  [starts, 6],
  [advances, 10],
  [heartbeats, 4],
  [completions, 3],
  [fails, 3],
  [cancels, 1],
  [violations, 1],
  [recovers, 2],
  [leasesEnd, 2],
  [waitsEnd, 2],
  [revokes, 3],
];

/** One sequence: the model, the server, and the steps that were taken. */
export class Sequence {
  readonly world: World = newWorld();
  readonly real: Real;
  readonly #taken: string[] = [];
  readonly #held = new Set<string>();

  constructor(real: Real) {
    this.real = real;
  }

  /** Does the same to both; fails where the answers or anything of what is stored then differ. */
  take(step: Step): Promise<void> {
    this.#taken.push(step.text);
    return this.#explained(async () => {
      const seen = this.world.jobs.map(({ events }) => events.length);
      const expected = step.expected(this.world);
      expectAnswer(await step.actual(this.real), expected);
      await expectSame(this.world, this.real, seen);
      await this.#holdTime();
    });
  }

  /** What is looked at once, at the end: every job's history, and what a client is shown of them all. */
  expectWhole(url: string, filter: Filter): Promise<void> {
    return this.#explained(async () => {
      await expectSame(this.world, this.real);
      await expectChained(this.real);
      await expectSameLists(this.world, this.real, url, filter);
    });
  }

  /** Leaves nothing behind that another sequence would meet: what all workspaces share is as it was. */
  async leave(): Promise<void> {
    await recover(null).actual(this.real);
    await restoreGrants(this.real);
  }

  async #explained(look: () => Promise<void>): Promise<void> {
    try {
      await look();
    } catch (cause) {
      const steps = this.#taken.map((text) => `  await sequence.take(${text});`).join("\n");
      throw new Error(`After these steps the server differs from the model:\n${steps}`, { cause });
    }
  }

  /** A wait of seconds would be over in the middle of a slow sequence: it lasts until the model says so. */
  async #holdTime(): Promise<void> {
    for (const { number, attempt, runAfter } of this.world.jobs) {
      const wait = `${number}, after attempt ${attempt}`;
      if (runAfter !== "ahead" || this.#held.has(wait)) continue;
      this.#held.add(wait);
      await this.real.setDue(number, "ahead");
    }
  }
}

class Command implements fc.AsyncCommand<Sequence, Real> {
  readonly #draw: Draw;

  constructor(draw: Draw) {
    this.#draw = draw;
  }

  check({ world }: Sequence): boolean {
    return this.#draw(world) !== null;
  }

  async run(sequence: Sequence): Promise<void> {
    const step = this.#draw(sequence.world);
    if (step) await sequence.take(step);
  }

  toString(): string {
    return "step";
  }
}

/** Random sequences of all mutations. A step that there is nothing for gives way to one that makes something. */
export function sequences(maxCommands: number) {
  const weighted = MUTATIONS.map(([arbitrary, weight]) => ({ arbitrary, weight }));
  const draws = fc.tuple(restores, fc.oneof(...weighted), startsDue, waitsEnd, submits).map(
    ([restore, draw, start, waitEnds, submit]): Draw =>
      (world) =>
        restore(world) ?? draw(world) ?? start(world) ?? waitEnds(world) ?? submit(world),
  );
  return fc.commands([draws.map((draw) => new Command(draw))], { maxCommands, size: "max" });
}
