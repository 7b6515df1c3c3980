interface Step {
  readonly nodeId: string;
  readonly state: string;
}

/** @returns which steps of a run that has failed have, in words: the graph of one that failed between its steps looks as if all were well. */
export function failedSteps(runState: string, steps: readonly Step[]): string | null {
  if (runState !== "FAILED" || steps.length === 0) return null;
  const failed = steps.filter(({ state }) => state === "FAILED").map(({ nodeId }) => nodeId);
  if (failed.length > 0) return `Failed at ${failed.join(", ")}.`;
  return "None of the steps that it reported has failed: the run failed between them, or after them.";
}
