import { Socket } from "node:net";
import pg from "pg";
import { FORCE_GENERIC_PLAN_IN_TRANSACTION } from "./prepared.ts";
import { ALL_WORKSPACES_SETTING, scopeSetting } from "./scope.ts";
import { prepareScope, ScopedQuery, type ScopedQueryConfig } from "./scoped-query.ts";
import { applySettings, type PoolMode, startupParameters, withSettings } from "./session.ts";

/** How long to wait for a connection: for PostgreSQL to accept a new one, or for a free one in the pool. */
const CONNECT_TIMEOUT_MS = 10_000;
/**
 * After how long without a byte from PostgreSQL a connection is closed. It must be longer than `statement_timeout` (15 s,
 * session.ts), or a slow statement would lose its connection, and longer than the pool keeps an idle connection (10 s).
 */
const SILENCE_TIMEOUT_MS = 20_000;

/** @returns the options of a single connection: the address, and the limits that detect an unreachable host. */
export function connectionConfig(databaseUrl: string, mode: PoolMode) {
  return {
    connectionString: withSettings(databaseUrl, mode),
    startup: startupParameters(mode),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: CONNECT_TIMEOUT_MS,
  };
}

/**
 * The options of a pool. Its connections close after a silence (`SILENCE_TIMEOUT_MS`), and the pool replaces them. A
 * connection can go silent without being closed, because its host died or a firewall dropped it; without the limit, the
 * feed, a maintenance task or a request would wait for its answer for ever. The driver's own `query_timeout` is no
 * substitute: it counts from when a statement is sent, even while the connection is busy with an earlier statement.
 */
export function poolConfig(
  databaseUrl: string,
  maxConnections: number,
  mode: PoolMode,
  { onConnect, ...listeners }: PoolListeners & { readonly isScoped?: boolean } = {},
): pg.PoolConfig {
  const connection: ConnectionConfig = {
    ...connectionConfig(databaseUrl, mode),
    stream: createSocketWithSilenceTimeout,
    // A pooler may hand out another connection of PostgreSQL before the answer to the last statement.
    pipeline: mode === "direct",
    // A pooler in transaction mode gives the next statement to another session, which has not prepared it.
    keepsStatements: mode !== "transaction",
    ...listeners,
  };
  const prepare = async (client: pg.ClientBase) => {
    await applySettings(client, mode);
    if (listeners.isScoped && mode !== "transaction") await prepareScope(client);
    onConnect?.();
  };
  // The pool waits for what this returns, though its type does not say so.
  const onNewClient: (client: pg.ClientBase) => unknown = prepare;
  return { ...connection, max: maxConnections, Client: Connection, onConnect: onNewClient };
}

/**
 * Called when a COMMIT has been sent, with a function that sends a further statement on the same connection, pipelined after
 * the COMMIT. The feed reads new events this way, because the PostgreSQL process of this connection is awake and has the rows
 * in its caches; waking up the process of another connection takes longer than the read itself.
 */
export type OnCommitSent = (read: <Row extends object>(query: pg.QueryConfig) => Promise<Row[]>) => void;

/** What is called for the connections of a pool. */
export interface PoolListeners {
  /** Called when PostgreSQL has accepted a connection, before it is used. */
  readonly onConnect?: () => void;
  readonly onCommitSent?: OnCommitSent;
}

interface ConnectionConfig extends pg.ClientConfig {
  readonly onCommitSent?: OnCommitSent;
  /** Whether each transaction begins with the scope of the work that opens it (scope.ts). */
  readonly isScoped?: boolean;
  readonly keepsStatements?: boolean;
  /** Parameters of the protocol that go with the connection. */
  readonly startup?: Readonly<Record<string, string>>;
}

function createSocketWithSilenceTimeout(): Socket {
  const socket = new Socket();
  return socket.setTimeout(SILENCE_TIMEOUT_MS, () => {
    const { bytesRead } = socket;
    // If this process was itself suspended, data may be waiting in the socket: it is read in the next tick of the event loop.
    setImmediate(() => {
      if (socket.bytesRead === bytesRead) socket.destroy(new Error("Connection terminated: PostgreSQL was silent."));
    });
  });
}

/**
 * A connection that survives its own "error" events: the next query on a broken connection rejects, and its caller handles
 * that. Without the listener, a connection that breaks while it is idle, or just as the pool hands it out, would raise an
 * unhandled "error" event and end the process.
 */
export class Connection extends pg.Client {
  constructor({
    onCommitSent,
    startup = {},
    isScoped = false,
    keepsStatements = false,
    ...config
  }: ConnectionConfig = {}) {
    super(config);
    // The driver has no option for these; what it does not know as one, it does not send.
    const startupConf: unknown = Reflect.get(this, "getStartupConf");
    if (typeof startupConf !== "function") throw new Error("The driver makes its parameters elsewhere now.");
    Object.defineProperty(this, "getStartupConf", {
      value: () => {
        const parameters: unknown = Reflect.apply(startupConf, this, []);
        return Object.assign({}, parameters, startup);
      },
    });
    this.on("error", () => undefined);
    const query = (statement: unknown, ...rest: unknown[]): unknown => {
      if (isStatement(statement, "BEGIN")) {
        const text = isScoped ? `${BEGIN_STATEMENT}; SET LOCAL app.workspaces = '${scopeSetting()}'` : BEGIN_STATEMENT;
        return Reflect.apply(super.query, this, [{ ...statement, text }, ...rest]);
      }
      if (hasScope(statement)) {
        const onEnd: unknown = rest.at(-1);
        return Reflect.apply(super.query, this, [new ScopedQuery(statement, keepsStatements), onEnd]);
      }
      const result: unknown = Reflect.apply(super.query, this, [statement, ...rest]);
      if (isStatement(statement, "COMMIT")) onCommitSent?.((read) => this.#read(read, keepsStatements));
      return result;
    };
    Object.defineProperty(this, "query", { value: query });
  }

  /** Reads the log, which is one for all workspaces. */
  #read<Row extends object>(statement: pg.QueryConfig, keepsStatements: boolean): Promise<Row[]> {
    return new Promise((resolve, reject) => {
      const config = { ...statement, scope: ALL_WORKSPACES_SETTING };
      super.query(
        new ScopedQuery<Row>(config, keepsStatements, (error, result) =>
          error ? reject(error) : resolve(result.rows),
        ),
      );
    });
  }
}

/** A pool whose statements outside a transaction are sent with the scope of the work that they are for. */
export class ScopedPool extends pg.Pool {
  constructor(config: pg.PoolConfig) {
    super(config);
    const query = (statement: pg.QueryConfig, ...rest: unknown[]): unknown =>
      // Read here: a statement that waits for a connection is sent when another one's work has ended.
      Reflect.apply(super.query, this, [{ ...statement, scope: scopeSetting() }, ...rest]);
    Object.defineProperty(this, "query", { value: query });
  }
}

function hasScope(statement: unknown): statement is ScopedQueryConfig {
  return typeof statement === "object" && statement !== null && "scope" in statement;
}

/** Begins a transaction and sets its plan mode in one round trip. */
const BEGIN_STATEMENT = `BEGIN; ${FORCE_GENERIC_PLAN_IN_TRANSACTION}`;

function isStatement(query: unknown, text: string): query is pg.QueryConfig {
  return typeof query === "object" && query !== null && "text" in query && query.text === text;
}
