import { existsSync, openSync, readFileSync, writeSync } from "node:fs";
import type { Entry } from "./entries.ts";

/**
 * The journal of a worker, which outlives its process: one line for each entry, written before the worker goes on. What
 * has been written to the file survives a SIGKILL of the process.
 */
export class Journal<Line extends object = Entry> {
  readonly #file: number;

  constructor(path: string) {
    // If the process was killed while it wrote a line, that line is incomplete: the next entry must begin a new one.
    const endsIncomplete = existsSync(path) && !/(^|\n)$/.test(readFileSync(path, "utf8"));
    this.#file = openSync(path, "a");
    if (endsIncomplete) writeSync(this.#file, "\n");
  }

  write(line: Line): void {
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
  }
}
