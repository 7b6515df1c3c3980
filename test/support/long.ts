/** `npm run test:long` gives suites that draw at random, or break things, more time to find something. */
const LONG = process.env.TEST_LONG === "1";

/** A number of runs, or of milliseconds: ten times as many in a long test. */
export function tenfoldInLong(usual: number): number {
  return LONG ? usual * 10 : usual;
}
