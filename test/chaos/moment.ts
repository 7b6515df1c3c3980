/** A moment on two clocks: a steady one, which nobody sets, and the wall's, which goes on while the machine sleeps. */
export interface Moment {
  readonly steadyMs: number;
  readonly wallMs: number;
}

export function thisMoment(): Moment {
  return { steadyMs: performance.now(), wallMs: Date.now() };
}

/**
 * Whether a lease may be over, by either clock: another worker may have the job. The server counts from when it hears a claim or
 * a heartbeat, so a worker that counts from when it sent one is never late.
 */
export function mayBeOver(leaseSeconds: number, sentAt: Moment): boolean {
  const { steadyMs, wallMs } = thisMoment();
  return Math.max(steadyMs - sentAt.steadyMs, wallMs - sentAt.wallMs) >= leaseSeconds * 1000;
}
