import fc from "fast-check";
import { foldTotals } from "../../../src/totals/fold.ts";
import type { Draw } from "../draw.ts";
import { mutation } from "../step.ts";

/** What the log holds is added up, as it is in the background: counts, sums and quotas are what they were. */
export const fold = mutation<null>("fold", {
  expected: () => ({}),
  actual: async ({ engine }) => {
    await foldTotals(engine.prisma);
    return {};
  },
});

export const folds: fc.Arbitrary<Draw> = fc.constant(() => fold(null));
