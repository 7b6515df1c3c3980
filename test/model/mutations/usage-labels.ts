import fc from "fast-check";
import * as labels from "../../../src/totals/usage-labels.ts";
import type { Draw } from "../draw.ts";
import type { Real } from "../real.ts";
import type { Answer } from "../rules.ts";
import { mutation } from "../step.ts";
import type { World } from "../world.ts";

interface SetUsageLabels {
  readonly workspace: number;
  readonly keys: readonly string[];
}

/** Section 14: usage is counted by these labels from now on; by those that stay, since they were declared. */
export const setUsageLabels = mutation<SetUsageLabels>("setUsageLabels", { expected, actual });

function expected(world: World, { workspace, keys }: SetUsageLabels): Answer {
  const before = world.usageLabels.get(workspace) ?? [];
  const since = world.jobs.map(({ version, runs }) => ({
    versions: version,
    beside: runs.flatMap(({ calls }) => calls.filter(({ isBeside }) => isBeside)).length,
  }));
  const declared = keys.map((key) => before.find((label) => label.key === key) ?? { key, since });
  world.usageLabels.set(workspace, declared);
  return { workspace };
}

async function actual(real: Real, { workspace, keys }: SetUsageLabels): Promise<object> {
  const result = await labels.setUsageLabels(real.engine, real.workspaceId(workspace), keys);
  return real.answer(result, ({ workspaceId }) => ({ workspace: real.workspaceIds.indexOf(workspaceId) }));
}

export const setsUsageLabels: fc.Arbitrary<Draw> = fc
  .record({
    workspace: fc.constantFrom(0, 0, 1, 2),
    keys: fc.constantFrom(["team"], ["team", "env"], ["env", "team"], ["env"], []),
  })
  .map(
    (input): Draw =>
      () =>
        setUsageLabels(input),
  );
