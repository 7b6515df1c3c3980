import type { Real } from "./real.ts";
import type { Report } from "./reports.ts";
import type { Answer } from "./rules.ts";
import type { World } from "./world.ts";

/** One mutation of a sequence, as the model and the server do it. A file of `mutations/` makes its own. */
export interface Step {
  /** As code, to be pasted into found.store.test.ts. */
  readonly text: string;
  /** Changes the reference model, and says what the server must answer. */
  readonly expected: (world: World) => unknown;
  /** Does it, and says what the server answered, in the model's words. */
  readonly actual: (real: Real) => Promise<unknown>;
  /** A worker's report with an id of its own, or a batch with one: it may be sent again. */
  readonly isNamedReport: boolean;
}

interface Mutation<Input> {
  readonly expected: (world: World, input: Input) => Answer | readonly Answer[];
  readonly actual: (real: Real, input: Input) => Promise<unknown>;
}

export function mutation<Input>(name: string, { expected, actual }: Mutation<Input>): (input: Input) => Step {
  return (input) => ({
    text: `${name}(${JSON.stringify(input)})`,
    expected: (world) => expected(world, input),
    actual: (real) => actual(real, input),
    isNamedReport: false,
  });
}

/** The same for what a worker reports. */
export function report<Input extends Report | readonly Report[]>(
  name: string,
  how: Mutation<Input>,
): (input: Input) => Step {
  const make = mutation(name, how);
  return (input) => {
    const reports: readonly Report[] = "token" in input ? [input] : input;
    return { ...make(input), isNamedReport: reports.some(({ reportId }) => reportId !== null) };
  };
}
