import { type FromOutput, type PlannedStep, Run, type StepResult } from "../worker/run.ts";

/**
 * The crash that the example plans: the process is killed, without a word to anybody, as soon as the server has kept the step of
 * this name. A worker of yours needs nothing of it.
 */
export function runThatCrashesAfter(crashAfter: string): typeof Run {
  return class extends Run {
    override async step<Value>(
      node: PlannedStep,
      work: (signal: AbortSignal) => Promise<StepResult<Value>>,
      fromOutput?: FromOutput<Value>,
    ): Promise<Value> {
      const value = await super.step(node, work, fromOutput);
      if (node.nodeId === crashAfter) process.kill(process.pid, "SIGKILL");
      return value;
    }
  };
}
