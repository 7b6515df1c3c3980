import { Socket } from "node:net";
import pg from "pg";
import { SET_GENERIC_PLAN } from "./prepared.ts";

/** Milliseconds in which a connection must be had: from PostgreSQL, or from those who hold the pool's. */
const CONNECT_TIMEOUT_MS = 10_000;
/**
 * Milliseconds after which a connection that nothing comes from is given up: longer than PostgreSQL works on any
 * statement of this server's, and than the pool keeps a connection that nobody needs.
 */
const SILENCE_TIMEOUT_MS = 20_000;

/** Where a connection leads, and how soon it is told that nobody is there. */
export function connectionConfig(connectionString: string) {
  return {
    connectionString,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: CONNECT_TIMEOUT_MS,
  };
}

/**
 * The same for a pool. A connection may go silent that nobody closed: its host died, or a firewall forgot it. Whoever
 * waits for its answer would wait for good, the feed and the sweeps among them; so it breaks instead, and is replaced.
 * The driver's own `query_timeout` would not do: it counts from when a statement is sent, however alive its connection is.
 */
export function poolConfig(
  connectionString: string,
  maxConnections: number,
  onCommitSent: OnCommitSent,
): pg.PoolConfig {
  const connection: ConnectionConfig = {
    ...connectionConfig(connectionString),
    stream: createSocketWithSilenceTimeout,
    pipeline: true,
    onCommitSent: onCommitSent,
  };
  return { ...connection, max: maxConnections, Client: Connection };
}

/**
 * Called when a COMMIT has been sent, with a way to send a statement that reads right behind it, on its connection: whose
 * process is awake and has just done what is read, where another one would take longer to wake up than to read.
 */
export type OnCommitSent = (read: <Row extends object>(query: pg.QueryConfig) => Promise<Row[]>) => void;

interface ConnectionConfig extends pg.ClientConfig {
  readonly onCommitSent?: OnCommitSent;
}

function createSocketWithSilenceTimeout(): Socket {
  const socket = new Socket();
  return socket.setTimeout(SILENCE_TIMEOUT_MS, () => {
    const { bytesRead } = socket;
    // A process that stood still for so long finds what has come meanwhile in its next turn.
    setImmediate(() => {
      if (socket.bytesRead === bytesRead) socket.destroy(new Error("Connection terminated: PostgreSQL was silent."));
    });
  });
}

/**
 * A connection that may break at any moment: whoever asks it for something next is told. While nobody listens, as in the
 * moment in which a pool hands it out, `pg` would end the whole process instead.
 */
export class Connection extends pg.Client {
  constructor({ onCommitSent: behindCommit, ...config }: ConnectionConfig = {}) {
    super(config);
    this.on("error", () => undefined);
    const read = async <Row extends object>(statement: pg.QueryConfig) => (await super.query<Row>(statement)).rows;
    const query = (statement: unknown, ...rest: unknown[]): unknown => {
      if (isStatement(statement, "BEGIN"))
        return Reflect.apply(super.query, this, [{ ...statement, text: BEGIN_STATEMENT }, ...rest]);
      const result: unknown = Reflect.apply(super.query, this, [statement, ...rest]);
      if (isStatement(statement, "COMMIT")) behindCommit?.(read);
      return result;
    };
    Object.defineProperty(this, "query", { value: query });
  }
}

/** What begins a transaction, in one round trip. */
const BEGIN_STATEMENT = `BEGIN; ${SET_GENERIC_PLAN}`;

function isStatement(query: unknown, text: string): query is pg.QueryConfig {
  return typeof query === "object" && query !== null && "text" in query && query.text === text;
}
