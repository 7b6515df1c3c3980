import type { GraphQLError } from "graphql";
import { rateLimited } from "./rate-limited.ts";

/** A body that is being received. */
export interface IncomingBody {
  /** Counts further bytes of it. */
  add(bytes: number): void;
  /** Rejected when the body has to give way. */
  readonly evicted: Promise<never>;
  /** Tells that it was received, or will not be. */
  end(): void;
}

/**
 * Counts the bytes of all bodies that are being received, so that clients which send large ones slowly cannot fill the memory
 * together. Where there are too many, the one gives way that was begun first: whoever means it sends it within moments, and who
 * sends a byte a second is the oldest soon.
 */
export class IncomingBodies {
  readonly #maxBytes: number;
  #bytes = 0;
  /** In the order in which they were begun. */
  readonly #open = new Set<() => void>();

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @param bytes its length, where it was told; what was told is counted whether it has come or not. */
  begin(bytes: number): IncomingBody {
    let counted = 0;
    const { promise: evicted, reject } = withReject();
    const end = () => {
      this.#open.delete(evict);
      this.#bytes -= counted;
      counted = 0;
    };
    const evict = () => {
      end();
      reject(tooManyBodies());
    };
    const add = (more: number) => {
      if (!this.#open.has(evict)) return;
      counted += more;
      this.#bytes += more;
      for (const evictOldest of this.#open) {
        if (this.#bytes <= this.#maxBytes || this.#open.size === 1) break;
        evictOldest();
      }
    };
    this.#open.add(evict);
    add(bytes);
    return { add, evicted, end };
  }
}

function withReject() {
  let reject: (reason: Error) => void = () => undefined;
  const promise = new Promise<never>((_resolve, rejected) => {
    reject = rejected;
  });
  // Whoever still reads the body awaits it; whoever has read it does not.
  promise.catch(() => undefined);
  return { promise, reject };
}

/** The connection is closed with the answer: the rest of the body would be read into memory still. */
function tooManyBodies(): GraphQLError {
  const message =
    "The server receives too many large requests at once, and this one has taken the longest. Send it again, without a pause.";
  return rateLimited(message, 1, { connection: "close" });
}
