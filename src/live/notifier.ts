import { randomUUID } from "node:crypto";

/**
 * Hints that something was committed: the feed reads sooner for one, and whoever waits for work looks again. A hint is
 * never the message: one that is lost or late delays by a poll interval at most, and loses nothing.
 */

/** A way to other servers. Each end of it says who it is, and ignores what it said itself. */
export interface NotifierTransport {
  readonly kind: "postgres" | "redis";
  /**
   * Connects and listens.
   * @param received is given the name of the sender of each hint.
   */
  connect(received: (sender: string) => void): Promise<TransportConnection>;
}

export interface TransportConnection {
  send(sender: string): Promise<void>;
  /** Rejects, or never settles, where the other side does not answer. */
  ping(): Promise<void>;
  /** Settles with the cause when the connection has broken. */
  readonly broken: Promise<unknown>;
  /** Lets go of it at once, whatever state it is in. */
  close(): void;
}

export interface NotifierHealth {
  readonly kind: "in_process" | NotifierTransport["kind"];
  readonly connected: boolean;
  /** Since when it is, or is not. */
  readonly since: Date;
}

export interface NotifierOptions {
  /** Hears when the way to the other servers is there, and when it is not, with the cause. */
  readonly onChange: (health: NotifierHealth, cause?: unknown) => void;
  /** Milliseconds from one look at whether the other side still answers to the next, and that an answer may take. */
  readonly pingIntervalMs?: number;
}

/** Milliseconds between two hints to other servers: a burst of commits needs no more, and NOTIFY locks the database. */
const MIN_SEND_INTERVAL_MS = 50;
const PING_INTERVAL_MS = 5000;
/** Milliseconds that the other side may take to let this one in. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Milliseconds to the next attempt to connect; they double. */
const RETRY_MS = { first: 100, max: 5000 };

/** The hints of this process, and, where there is a carrier, those of other servers. */
export class CommitNotifier {
  readonly #senderId = randomUUID();
  readonly #kind: NotifierHealth["kind"];
  readonly #options: NotifierOptions;
  readonly #listeners = new Set<() => void>();
  /** What ends each wait early. */
  readonly #endPauses = new Set<() => void>();
  readonly #connectLoop: Promise<void>;
  #connection: TransportConnection | undefined;
  #health: NotifierHealth | undefined;
  #lastSentAt = Number.NEGATIVE_INFINITY;
  #sendTimer: NodeJS.Timeout | undefined;
  #isClosing = false;

  /** @param transport undefined where there is one process only. */
  constructor(transport: NotifierTransport | undefined, options: NotifierOptions) {
    this.#kind = transport?.kind ?? "in_process";
    this.#options = options;
    if (!transport) this.#health = { kind: this.#kind, connected: true, since: new Date() };
    this.#connectLoop = transport ? this.#keepConnected(transport) : Promise.resolve();
  }

  /** Something was committed here: this process hears it at once, the others soon. It never waits and never throws. */
  notify(): void {
    this.#notifyListeners();
    if (!this.#connection || this.#sendTimer) return;
    const wait = this.#lastSentAt + MIN_SEND_INTERVAL_MS - performance.now();
    // The first of a burst goes at once: a timer, were it for no time, comes after whatever else there is to do.
    if (wait <= 0) this.#send();
    else {
      this.#sendTimer = setTimeout(() => {
        this.#sendTimer = undefined;
        this.#send();
      }, wait);
    }
  }

  /**
   * Calls back for every hint, whoever sent it.
   * @returns what ends that.
   */
  onNotify(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  get health(): NotifierHealth {
    return this.#health ?? { kind: this.#kind, connected: false, since: new Date() };
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    for (const end of this.#endPauses) end();
    clearTimeout(this.#sendTimer);
    this.#listeners.clear();
    await this.#connectLoop;
  }

  #send(): void {
    this.#lastSentAt = performance.now();
    // A hint that cannot be sent is lost; that its connection broke is noticed elsewhere.
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
        // What was committed while nobody could tell of it.
        this.#notifyListeners();
        throw await this.#monitor(connection);
      } catch (cause) {
        if (!this.#isClosing) this.#setConnected(false, cause);
      }
      await this.#pause(retryMs * (0.5 + Math.random()));
    }
  }

  async #connect(transport: NotifierTransport): Promise<TransportConnection> {
    const connecting = transport.connect((sender) => {
      if (sender !== this.#senderId) this.#notifyListeners();
    });
    const connection = await Promise.race([connecting, this.#pause(CONNECT_TIMEOUT_MS)]);
    if (connection) return connection;
    // Nobody waits for it any more.
    connecting.then(
      (late) => late.close(),
      () => undefined,
    );
    throw new Error("The other side does not answer.");
  }

  /** Sends and hears on this connection until it has broken, does not answer, or is not needed any more. */
  async #monitor(connection: TransportConnection): Promise<Error> {
    this.#connection = connection;
    const { pingIntervalMs: pingMs = PING_INTERVAL_MS } = this.#options;
    const broken = connection.broken.then((cause) => new Error("The connection broke.", { cause }));
    try {
      while (!this.#isClosing) {
        const lost = await Promise.race([broken, this.#pause(pingMs)]);
        if (lost) return lost;
        const answer = connection.ping().then(() => "answered" as const);
        if ((await Promise.race([answer, broken, this.#pause(pingMs)])) !== "answered") {
          return new Error("The other side does not answer.");
        }
      }
      return new Error("It was closed.");
    } finally {
      this.#connection = undefined;
      connection.close();
    }
  }

  #setConnected(connected: boolean, cause?: unknown): void {
    // While it stays broken every attempt fails in the same way: that is told once.
    if (this.#health?.connected === connected) return;
    this.#health = { kind: this.#kind, connected, since: new Date() };
    this.#options.onChange(this.#health, cause);
  }

  /** Ends early when this is closed. */
  #pause(milliseconds: number): Promise<void> {
    if (this.#isClosing) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#endPauses.delete(end);
        resolve();
      };
      const timer = setTimeout(end, milliseconds);
      this.#endPauses.add(end);
    });
  }
}
