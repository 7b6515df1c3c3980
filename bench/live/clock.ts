/** Milliseconds of the machine's monotonic clock: the same in every process of it, to less than a microsecond. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
