import fc from "fast-check";
import { type Draw, mostly } from "../draw.ts";

/** A worker that got no answer sends a report with an id again, unchanged; mostly soon. */
export const repeats: fc.Arbitrary<Draw> = fc.constantFrom(...mostly(3, 0, 1, 2, 4)).map(
  (back): Draw =>
    (_world, taken) => {
      const named = taken.filter(({ isNamedReport }) => isNamedReport);
      return named.at(-1 - (back % named.length)) ?? null;
    },
);
