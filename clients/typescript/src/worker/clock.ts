/** A moment on two clocks: a steady one, which nobody sets, and the wall's, which goes on while the machine sleeps. */
export interface Moment {
  /** Nanoseconds on a clock that all threads of the process share. */
  readonly steadyNs: bigint;
  readonly wallMs: number;
}

export function thisMoment(): Moment {
  return { steadyNs: process.hrtime.bigint(), wallMs: Date.now() };
}

const NS_PER_MS = 1_000_000n;

/** The moment a while after another one. */
export function after({ steadyNs, wallMs }: Moment, ms: number): Moment {
  return { steadyNs: steadyNs + BigInt(Math.round(ms)) * NS_PER_MS, wallMs: wallMs + ms };
}

/** Milliseconds until a moment, by the clock on which it comes sooner; 0 or less when it has passed on either. */
export function msUntil({ steadyNs, wallMs }: Moment): number {
  const now = thisMoment();
  return Math.min(Number((steadyNs - now.steadyNs) / NS_PER_MS), wallMs - now.wallMs);
}
