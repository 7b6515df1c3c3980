import { randomUUID } from "node:crypto";
import { linkSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * A system outside the server, such as one that sends invoices, as a folder: it does what it is asked to do once for each
 * idempotency key, and gives whoever asks again the receipt of the first time. It outlives every process.
 */
export class Outside {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Does something, unless it was done before under this key. @returns the receipt of the only time that it was done. */
  do(key: string): string {
    const path = join(this.#folder, encodeURIComponent(key));
    const draft = join(this.#folder, `.${randomUUID()}`);
    writeFileSync(draft, randomUUID());
    try {
      // A link comes to be whole or not at all, and only where nothing is.
      linkSync(draft, path);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    } finally {
      unlinkSync(draft);
    }
    return readFileSync(path, "utf8");
  }

  /** What was done: the receipts by key. */
  done(): ReadonlyMap<string, string> {
    const keys = readdirSync(this.#folder).filter((name) => !name.startsWith("."));
    return new Map(keys.map((name) => [decodeURIComponent(name), readFileSync(join(this.#folder, name), "utf8")]));
  }
}
