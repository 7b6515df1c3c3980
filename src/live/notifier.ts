import { randomUUID } from "node:crypto";

/**
 * Notify hints: signs that something was committed. On a hint the feed reads the log, and claims that wait look for due
 * jobs again. A hint carries no data, so one that is lost or late costs at most a poll interval and loses nothing.
 */

/** A way to send notify hints to other servers. Every hint names its sender, so that a server can ignore its own. */
export interface NotifierTransport {
  readonly kind: "postgres" | "redis";
  /**
   * Connects and starts to listen. Rejects with the driver's error if that fails, and leaves nothing open then.
   * @param onHint called with the sender's id for each hint.
   */
  connect(onHint: (senderId: string) => void): Promise<TransportConnection>;
}

/** An open connection of a transport. */
export interface TransportConnection {
  /** Sends a hint to every other listener. Rejects if the connection has broken. */
  send(senderId: string): Promise<void>;
  /** Resolves when the other side answers; rejects, or never settles, if it does not. */
  ping(): Promise<void>;
  /** Resolves when the connection has broken, with the cause; with undefined if the other side ended it. */
  readonly broken: Promise<unknown>;
  /** Closes the connection at once, in any state, without waiting for the other side. */
  close(): void;
}

/** The state of the connection to other servers, as /health and the log show it. */
export interface NotifierHealth {
  /** `in_process` if there are no other servers; `polling` if there may be, and no way to them. */
  readonly kind: "in_process" | "polling" | NotifierTransport["kind"];
  readonly connected: boolean;
  /** When `connected` last changed. */
  readonly since: Date;
}

/** Settings of a commit notifier. */
export interface NotifierOptions {
  /** What its health says where it has no transport; left out: `in_process`. */
  readonly withoutTransport?: "in_process" | "polling";
  /** Called when the connection to other servers is made, and when it is lost, with the cause. */
  readonly onChange: (health: NotifierHealth, cause?: unknown) => void;
  /** Milliseconds between two pings, and the time that an answer may take before the connection counts as broken. */
  readonly pingIntervalMs?: number;
}

/**
 * Milliseconds between two hints to other servers: one is enough for a burst of commits, and NOTIFY locks the database.
 */
const MIN_SEND_INTERVAL_MS = 50;
const PING_INTERVAL_MS = 5000;
/** Milliseconds that connecting may take. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Milliseconds to the next attempt to connect; they double from one failure to the next. */
const RETRY_MS = { first: 100, max: 5000 };

/**
 * Passes notify hints on: those of this process to its listeners and to other servers, and those of other servers to
 * its listeners. Keeps the connection to the other servers alive and reconnects by itself.
 */
export class CommitNotifier {
  readonly #senderId = randomUUID();
  readonly #kind: NotifierHealth["kind"];
  readonly #options: NotifierOptions;
  readonly #listeners = new Set<() => void>();
  /** For each pause under way, the function that ends it early. */
  readonly #endPauses = new Set<() => void>();
  readonly #connectLoop: Promise<void>;
  #connection: TransportConnection | undefined;
  #health: NotifierHealth | undefined;
  #lastSentAt = Number.NEGATIVE_INFINITY;
  #sendTimer: NodeJS.Timeout | undefined;
  #isClosing = false;

  /** @param transport the way to other servers; undefined if this is the only process, or there is no way. */
  constructor(transport: NotifierTransport | undefined, options: NotifierOptions) {
    this.#kind = transport?.kind ?? options.withoutTransport ?? "in_process";
    this.#options = options;
    if (!transport) this.#health = { kind: this.#kind, connected: true, since: new Date() };
    this.#connectLoop = transport ? this.#keepConnected(transport) : Promise.resolve();
  }

  /**
   * To be called after a commit of this process. Its own listeners are called at once; other servers get a hint
   * soon after. Never waits and never throws.
   */
  notify(): void {
    this.#notifyListeners();
    if (!this.#connection || this.#sendTimer) return;
    const waitMs = this.#lastSentAt + MIN_SEND_INTERVAL_MS - performance.now();
    // The first hint of a burst is sent directly: even a timer of 0 ms would run only after all other pending work.
    if (waitMs <= 0) this.#send();
    else {
      this.#sendTimer = setTimeout(() => {
        this.#sendTimer = undefined;
        this.#send();
      }, waitMs);
    }
  }

  /**
   * Calls `listener` for every hint, of this process or of another server.
   * @returns a function that removes the listener.
   */
  onNotify(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Whether other servers can be reached; always connected in a single process. */
  get health(): NotifierHealth {
    return this.#health ?? { kind: this.#kind, connected: false, since: new Date() };
  }

  /** Closes the connection; resolves when nothing of the notifier is running any more. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const end of this.#endPauses) end();
    clearTimeout(this.#sendTimer);
    this.#listeners.clear();
    await this.#connectLoop;
  }

  #send(): void {
    this.#lastSentAt = performance.now();
    // A hint that cannot be sent is lost, which is allowed; `#monitor` notices the broken connection.
    this.#connection?.send(this.#senderId).catch(() => undefined);
  }

  #notifyListeners(): void {
    for (const listener of this.#listeners) listener();
  }

  async #keepConnected(transport: NotifierTransport): Promise<void> {
    for (let retryMs = RETRY_MS.first; !this.#isClosing; retryMs = Math.min(retryMs * 2, RETRY_MS.max)) {
      try {
        const connection = await this.#connect(transport);
        retryMs = RETRY_MS.first;
        this.#setConnected(true);
        // Hints of other servers may have been lost while there was no connection.
        this.#notifyListeners();
        throw await this.#monitor(connection);
      } catch (cause) {
        if (!this.#isClosing) this.#setConnected(false, cause);
      }
      await this.#pause(retryMs * (0.5 + Math.random()));
    }
  }

  async #connect(transport: NotifierTransport): Promise<TransportConnection> {
    const connecting = transport.connect((senderId) => {
      if (senderId !== this.#senderId) this.#notifyListeners();
    });
    const connection = await Promise.race([connecting, this.#pause(CONNECT_TIMEOUT_MS)]);
    if (connection) return connection;
    // If the attempt succeeds after its time is up, the connection must be closed, or it stays open without an owner.
    connecting.then(
      (late) => late.close(),
      () => undefined,
    );
    throw new Error("The other side does not answer.");
  }

  /**
   * Uses the connection until it breaks, does not answer a ping, or the notifier is closed; resolves with the reason.
   */
  async #monitor(connection: TransportConnection): Promise<Error> {
    this.#connection = connection;
    const { pingIntervalMs = PING_INTERVAL_MS } = this.#options;
    const broken = connection.broken.then((cause) => new Error("The connection broke.", { cause }));
    try {
      while (!this.#isClosing) {
        const breakdown = await Promise.race([broken, this.#pause(pingIntervalMs)]);
        if (breakdown) return breakdown;
        const answer = connection.ping().then(() => "answered" as const);
        if ((await Promise.race([answer, broken, this.#pause(pingIntervalMs)])) !== "answered") {
          return new Error("The other side does not answer.");
        }
      }
      return new Error("The notifier was closed.");
    } finally {
      this.#connection = undefined;
      connection.close();
    }
  }

  #setConnected(connected: boolean, cause?: unknown): void {
    // Every attempt fails while the other side is away: only the first failure is reported.
    if (this.#health?.connected === connected) return;
    this.#health = { kind: this.#kind, connected, since: new Date() };
    this.#options.onChange(this.#health, cause);
  }

  /** Ends early when the notifier is closed, so that `close` need not wait for a timer. */
  #pause(durationMs: number): Promise<void> {
    if (this.#isClosing) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#endPauses.delete(end);
        resolve();
      };
      const timer = setTimeout(end, durationMs);
      this.#endPauses.add(end);
    });
  }
}
