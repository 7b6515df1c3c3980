import fc from "fast-check";
import { aggregateTotals } from "../../../src/totals/aggregate.ts";
import type { Draw } from "../draw.ts";
import { mutation } from "../step.ts";

/** Aggregates the log into the totals, as maintenance does: counts, sums and quotas must stay the same. */
export const aggregate = mutation<null>("aggregate", {
  expected: () => ({}),
  actual: async ({ engine }) => {
    await aggregateTotals(engine.prisma);
    return {};
  },
});

export const aggregates: fc.Arbitrary<Draw> = fc.constant(() => aggregate(null));
