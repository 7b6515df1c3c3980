/** What a client can do to keep a server busy or to fill its memory. Each goes on until it is told to stop. */
export interface Attack {
  readonly name: string;
  /** What must hold for another client meanwhile: `refused` can be told from a legitimate request at little cost. */
  readonly kind: "refused" | "large";
  /** Whether the API answers it like a request: with 200 and an error in the data, or because each by itself is a good one. */
  readonly isAnswered?: true;
  /** Sends one request after the other over one connection. */
  readonly once: (connection: Connection) => Promise<void>;
}

/** One connection of the attacker. */
export interface Connection {
  readonly url: string;
  /** Aborted when the attack is over. */
  readonly over: AbortSignal;
  /** A number that no other request has. */
  readonly next: () => number;
  readonly post: (body: string | Buffer, headers?: Readonly<Record<string, string>>) => Promise<void>;
  /** The same, for what goes on with the answer. */
  readonly ask: (body: string) => Promise<string>;
  /** Sends a request without a body. @param search what stands behind the address. */
  readonly send: (method: string, search: string, headers: Readonly<Record<string, string>>) => Promise<void>;
}
