import fc from "fast-check";
import type { Draw } from "../draw.ts";

/** A worker that lost an answer: a report with an id is sent again, word by word. */
export const repeats: fc.Arbitrary<Draw> = fc.nat(5).map(
  (back): Draw =>
    (_world, taken) => {
      const named = taken.filter(({ isNamedReport }) => isNamedReport);
      return named.at(-1 - (back % named.length)) ?? null;
    },
);
