import pg from "pg";

/**
 * A statement with its scope (scope.ts): sent together, in one round trip and one implicit transaction, which ends with the
 * statement. So the setting is gone before the connection's next statement, and behind a pooler in transaction mode, too.
 * A transaction around them would cost half as much again (BEGIN and COMMIT are messages of their own).
 */

/** What the driver's `Query` has, and its types leave out. */
declare module "pg" {
  interface Query {
    prepare(connection: MessageSender): void;
    handleDataRow(message: unknown): void;
    handleCommandComplete(message: unknown, connection: MessageSender): void;
  }
  interface QueryConfig {
    readonly queryMode?: "extended";
  }
}

/** The driver's connection, as far as a query uses it: each call writes one message of PostgreSQL's extended protocol. */
interface MessageSender {
  parse(statement: { readonly name: string; readonly text: string }): void;
  bind(portal: { readonly statement: string; readonly values: readonly string[] }): void;
  execute(portal: object): void;
}

const SET_SCOPE = "SELECT set_config('app.workspaces', $1, true)";
/** The name under which a connection prepares the statement above. */
const SET_SCOPE_NAME = "set_scope";

/** Prepares a connection for `ScopedQuery` with `isPrepared`. */
export async function prepareScope(client: pg.ClientBase): Promise<void> {
  await client.query({ name: SET_SCOPE_NAME, text: SET_SCOPE, values: ["{}"] });
}

export interface ScopedQueryConfig extends pg.QueryConfig {
  /** The value of the setting `app.workspaces`. */
  readonly scope: string;
}

export class ScopedQuery<Row extends object = object> extends pg.Query<Row> {
  readonly #scope: string;
  readonly #isPrepared: boolean;
  /** Whether the answer to the setting has come; what comes after it is the statement's own. */
  #isScopeSet = false;

  /**
   * @param isPrepared whether the connection keeps prepared statements (`prepareScope`); a pooler in transaction mode does not.
   * @param onEnd called with the error, or the result.
   */
  constructor({ scope, ...config }: ScopedQueryConfig, isPrepared: boolean, onEnd?: QueryCallback<Row>) {
    // Extended, because the simple protocol would run the statement in a transaction of its own.
    super({ ...config, queryMode: "extended" }, onEnd);
    this.#scope = scope;
    this.#isPrepared = isPrepared;
  }

  override prepare(connection: MessageSender): void {
    const statement = this.#isPrepared ? SET_SCOPE_NAME : "";
    if (!this.#isPrepared) connection.parse({ name: "", text: SET_SCOPE });
    connection.bind({ statement, values: [this.#scope] });
    connection.execute({});
    super.prepare(connection);
  }

  override handleDataRow(message: unknown): void {
    if (this.#isScopeSet) super.handleDataRow(message);
  }

  override handleCommandComplete(message: unknown, connection: MessageSender): void {
    if (this.#isScopeSet) super.handleCommandComplete(message, connection);
    this.#isScopeSet = true;
  }
}

type QueryCallback<Row extends object> = (error: Error | undefined, result: { readonly rows: Row[] }) => void;
