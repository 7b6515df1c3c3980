import { TryAgainError } from "../errors.ts";

/** Somebody whose work waits in turn: any value that tells one client from another. */
export type Client = unknown;

/** Limits of the work that waits, in characters. What waits is kept in memory. */
export interface WaitingLimits {
  readonly perClient: number;
  readonly total: number;
}

interface Waiting {
  readonly size: number;
  readonly begin: () => void;
}

/**
 * Lets a few pieces of work run at once, and the others wait. Clients take turns: whoever has a hundred pieces of work waiting
 * delays another one by one of them.
 */
export class Turns {
  readonly #limits: WaitingLimits;
  /** In the order in which the clients have their turns. */
  readonly #waiting = new Map<Client, Waiting[]>();
  #free: number;

  /** @param atOnce how many pieces of work run at once. */
  constructor(atOnce: number, limits: WaitingLimits) {
    this.#free = atOnce;
    this.#limits = limits;
  }

  /**
   * Does `work` when it has its turn.
   * @param size the characters that `work` keeps in memory while it waits.
   * @returns what `work` returned.
   * @throws TryAgainError where too much waits already, of this client or of all; `work` was not begun.
   */
  async take<T>(client: Client, size: number, work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(client, size);
    try {
      return await work();
    } finally {
      this.#passOn();
    }
  }

  #wait(client: Client, size: number): Promise<void> {
    const own = this.#waiting.get(client) ?? [];
    const all = [...this.#waiting.values()].flat();
    // One piece of work may wait whatever its size, or what is larger than the limit could never be done.
    const isTooMuch = own.length > 0 && sum(own) + size > this.#limits.perClient;
    if (isTooMuch || sum(all) + size > this.#limits.total) throw new TryAgainError(TOO_MUCH);
    return new Promise((begin) => {
      own.push({ size, begin });
      this.#waiting.set(client, own);
    });
  }

  /** Gives the turn to the next client's first piece of work; the client's others wait until all other clients had theirs. */
  #passOn(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free += 1;
      return;
    }
    const [client, own] = next;
    const first = own.shift();
    this.#waiting.delete(client);
    if (own.length > 0) this.#waiting.set(client, own);
    first?.begin();
  }
}

const TOO_MUCH =
  "The server is busy with other large content. Nothing of this was kept; send the same again a little later.";

function sum(waiting: readonly Waiting[]): number {
  return waiting.reduce((total, { size }) => total + size, 0);
}
