import fc from "fast-check";
import { foldTotals } from "../../../src/totals/fold.ts";
import type { Draw } from "../draw.ts";
import { mutation } from "../step.ts";

/** Folds the log into the totals, as maintenance does: counts, sums and quotas must stay the same. */
export const fold = mutation<null>("fold", {
  expected: () => ({}),
  actual: async ({ engine }) => {
    await foldTotals(engine.prisma);
    return {};
  },
});

export const folds: fc.Arbitrary<Draw> = fc.constant(() => fold(null));
