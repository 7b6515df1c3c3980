import { Worker as Thread } from "node:worker_threads";
import type { Moment } from "./clock.ts";
import type { FromKeeper, KeeperData, ToKeeper } from "./keeper-messages.ts";
import { Lease } from "./lease.ts";
import type { Progress } from "./progress.ts";

/** The worker's leases, which a thread of their own renews: a handler that blocks the event loop for a minute loses none. */
export class LeaseKeeper {
  readonly #data: KeeperData;
  readonly #thread: Thread;
  readonly #leases = new Map<string, Lease>();

  /** @param onBroken told once, if the thread ends by itself: then nothing is renewed any more. */
  constructor(data: KeeperData, onBroken: (error: Error) => void) {
    this.#data = data;
    this.#thread = new Thread(new URL("keeper-thread.js", import.meta.url), { workerData: data });
    this.#thread.on("message", ({ runId, directive, message }: FromKeeper) =>
      this.#leases.get(runId)?.stop(directive, message),
    );
    this.#thread.once("error", onBroken);
  }

  /** @param claimSentAt when the claim that brought the lease was sent. */
  hold(runId: string, token: string, claimSentAt: Moment): Lease {
    const lease = new Lease(claimSentAt, this.#data.leaseSeconds);
    this.#leases.set(runId, lease);
    this.#tell({ type: "hold", runId, token, sentAt: claimSentAt, memory: lease.memory.buffer });
    return lease;
  }

  /** Renews a lease no more. */
  letGo(runId: string): void {
    this.#leases.delete(runId);
    this.#tell({ type: "letGo", runId });
  }

  /** Says how far a run is: at once, or a second after it last did. */
  progress(runId: string, progress: Progress): void {
    this.#tell({ type: "progress", runId, progress });
  }

  async close(): Promise<void> {
    await this.#thread.terminate();
  }

  #tell(message: ToKeeper): void {
    this.#thread.postMessage(message);
  }
}
