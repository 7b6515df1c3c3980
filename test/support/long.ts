/** `npm run test:long` gives random and fault-injection tests more time to find something. */
const LONG = process.env.TEST_LONG === "1";

/** A number of runs or of milliseconds: ten times as large in a long test. */
export function tenfoldInLong(usualCount: number): number {
  return LONG ? usualCount * 10 : usualCount;
}

/** A number of runs or of milliseconds: the larger one in a long test. */
export function orInLong(usualCount: number, longCount: number): number {
  return LONG ? longCount : usualCount;
}
