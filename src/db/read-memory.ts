import { LRUCache } from "lru-cache";
import { bytesOf } from "../value-bytes.ts";

/**
 * Counts the bytes of rows that are remembered, of all reads together: what was read first is forgotten first when there are too
 * many. What is forgotten is read again by whoever still needs it.
 */
export class ReadMemory {
  /** Of all that is remembered, how to forget it. */
  readonly #forget: LRUCache<object, () => void>;

  constructor(maxBytes: number) {
    this.#forget = new LRUCache({ maxSize: maxBytes, dispose: (forget) => forget() });
  }

  /** The bytes that are remembered. */
  get bytes(): number {
    return this.#forget.calculatedSize;
  }

  /**
   * Counts rows for as long as they are remembered.
   * @param forget called once, when they must be, or are, forgotten.
   * @returns what to pass to `release`.
   */
  keep(rows: readonly unknown[], forget: () => void): object {
    const key = {};
    this.#forget.set(key, forget, { size: bytesOf(rows) });
    // What is larger than all that may be kept is not taken.
    if (!this.#forget.has(key)) forget();
    return key;
  }

  release(key: object): void {
    this.#forget.delete(key);
  }
}
