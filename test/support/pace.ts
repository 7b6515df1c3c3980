const STEPS = 1e8;
/** Milliseconds that so many steps take on a machine for which limits in seconds are meant. */
const REFERENCE_MS = 400;

/** How many times as long as on such a machine work takes here and now; 1 where it takes no longer. */
export function paceHere(): number {
  const startedAt = performance.now();
  let sum = 0;
  for (let step = 0; step < STEPS; step++) sum = (sum * 31 + step) | 0;
  const pace = (performance.now() - startedAt) / REFERENCE_MS;
  // The sum is looked at, so that nobody may leave the loop out.
  return sum === 0.5 ? 0 : Math.max(1, pace);
}
