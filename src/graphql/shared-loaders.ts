import { type Loaders, newLoaders } from "./context.ts";

/** Long enough for every subscriber that keeps up; what was loaded may be large, and must not wait for the others. */
const KEPT_MS = 3000;

/** What subscribers select beyond an event is loaded once for all of them, not by each. */
export class SharedLoaders {
  readonly #byBatch = new WeakMap<object, Loaders>();

  /** Those of all events that were read in this batch. */
  of(batch: object): Loaders {
    const known = this.#byBatch.get(batch);
    if (known) return known;
    const loaders = newLoaders(true);
    this.#byBatch.set(batch, loaders);
    setTimeout(() => this.#byBatch.delete(batch), KEPT_MS).unref();
    return loaders;
  }
}
