/** The sorts of worker in the fleet: by hand, they also try orders of requests that no kit makes; or with one of the kits. */
export type WorkerSort = "hand-made" | "typescript" | "python";

/** Half of them with the kit for TypeScript, some with the one for Python, mixed. Where there is no Python, some more are made by hand. */
export function sortsOfFleet(hasPython: boolean): readonly WorkerSort[] {
  const third = hasPython ? "python" : "hand-made";
  return ["typescript", "hand-made", "typescript", third, "typescript", "hand-made", "typescript", third];
}

/** The least for which a kit takes a lease, in seconds. */
const MIN_SECONDS_OF_KIT = 15;

/**
 * How long a lease lasts of a worker of this sort, in seconds. A kit waits for a claim, and a third of the lease between two renewals: for
 * longer where the machine is slow.
 * @param leaseSeconds that of a worker that is made by hand.
 */
export function leaseSecondsOf(sort: WorkerSort, leaseSeconds: number): number {
  return sort === "hand-made" ? leaseSeconds : Math.max(2 * leaseSeconds, MIN_SECONDS_OF_KIT);
}
