import type { Real } from "./real.ts";
import type { Report } from "./reports.ts";
import type { Answer } from "./rules.ts";
import type { World } from "./world.ts";

/** One mutation of a sequence, for the model and for the server. Each file of `mutations/` defines its own. */
export interface Step {
  /** The step as code, to be pasted into found.store.test.ts. */
  readonly text: string;
  /** Changes the model. @returns the answer that the server must give. */
  readonly expected: (world: World) => unknown;
  /** Executes the mutation on the server. @returns its answer in the terms of the model. */
  readonly actual: (real: Real) => Promise<unknown>;
  /** Whether it is a report with a report id, or a batch with one, which may be sent again. */
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

/** The same as `mutation`, for a worker's report. */
export function report<Input extends Report | readonly Report[]>(
  name: string,
  definition: Mutation<Input>,
): (input: Input) => Step {
  const make = mutation(name, definition);
  return (input) => {
    const reports: readonly Report[] = "token" in input ? [input] : input;
    return { ...make(input), isNamedReport: reports.some(({ reportId }) => reportId !== null) };
  };
}
