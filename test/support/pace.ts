const STEPS = 1e8;
/** How long these steps take, in milliseconds, on the machine for which tests state their limits in seconds. */
const REFERENCE_MS = 400;

/**
 * How many times slower this machine is at present than the reference machine; at least 1. Tests scale limits by it.
 */
export function paceHere(): number {
  const startedAt = performance.now();
  let sum = 0;
  for (let step = 0; step < STEPS; step++) sum = (sum * 31 + step) | 0;
  const pace = (performance.now() - startedAt) / REFERENCE_MS;
  // The sum is used, so that the compiler cannot remove the loop.
  return sum === 0.5 ? 0 : Math.max(1, pace);
}
