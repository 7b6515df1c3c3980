/** A silent stream shows a sign of life every 12 seconds; one that shows none for so long, in milliseconds, is dead. */
const SILENCE_MS = 30_000;

/** Tells when nothing has been heard of a stream for too long. */
export class Silence {
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.heard();
  }

  /** Aborted once the stream is dead. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** To be called with every piece that arrives. */
  heard(): void {
    this.end();
    this.#timer = setTimeout(() => this.#controller.abort(), SILENCE_MS);
  }

  /** Listens no more. */
  end(): void {
    clearTimeout(this.#timer);
  }
}
