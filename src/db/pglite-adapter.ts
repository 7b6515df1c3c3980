import type { PGlite, Transaction as PgliteTransaction, QueryOptions, Results } from "@electric-sql/pglite";
import type {
  IsolationLevel,
  SqlDriverAdapter,
  SqlMigrationAwareDriverAdapterFactory,
  Transaction,
} from "@prisma/driver-adapter-utils";
import { PrismaPGlite } from "pglite-prisma-adapter";
import { PreparedStatements } from "./pglite-prepared.ts";
import { FORCE_GENERIC_PLAN_IN_TRANSACTION } from "./prepared.ts";

/**
 * `pglite-prisma-adapter` with two defects of its version 0.7.2 corrected:
 * - An error at COMMIT was swallowed: a transaction that a deferred constraint had refused looked committed.
 * - `executeScript` neither waited for its script nor reported a failure.
 *
 * It also runs prepared statements with generic plans (prepared.ts).
 */
export class PgliteAdapterFactory implements SqlMigrationAwareDriverAdapterFactory {
  readonly provider = "postgres";
  readonly adapterName = "pglite-prisma-adapter";
  readonly #pglite: PGlite;
  readonly #prepared: PreparedStatements;
  readonly #begin: () => string;

  /**
   * @param begin returns SQL that each transaction begins with, such as the scope of the work that opens it (scope.ts). It is called
   *   where that work runs. Left out, there is none.
   */
  constructor(pglite: PGlite, begin: () => string = () => "") {
    this.#pglite = pglite;
    this.#prepared = PreparedStatements.of(pglite);
    this.#begin = begin;
  }

  async connect(): Promise<SqlDriverAdapter> {
    return connectTo(this.#pglite, this.#prepared, this.#begin);
  }

  async connectToShadowDb(): Promise<SqlDriverAdapter> {
    const { createPglite } = await import("./pglite.ts");
    const shadow = await createPglite();
    const adapter = await connectTo(shadow, PreparedStatements.of(shadow), () => "");
    adapter.dispose = () => shadow.close();
    return adapter;
  }
}

async function connectTo(
  pglite: PGlite,
  prepared: PreparedStatements,
  beginning: () => string,
): Promise<SqlDriverAdapter> {
  const adapter = await adapterWithQuery(pglite, (sql, values, options) => {
    const name = prepared.nameOf(sql);
    const first = beginning();
    if (name === "" && first === "") return pglite.query(sql, values, options);
    return pglite.transaction(async (inner) => {
      await inner.exec(name === "" ? first : `${FORCE_GENERIC_PLAN_IN_TRANSACTION}; ${first}`);
      return name === "" ? inner.query(sql, values, options) : prepared.run(name, sql, values, options);
    });
  });
  adapter.executeScript = async (script) => {
    await pglite.exec(script);
  };
  adapter.startTransaction = (isolationLevel) => startTransaction(pglite, prepared, beginning(), isolationLevel);
  return adapter;
}

/** @returns the library's adapter, with its conversions of values and rows, that runs statements by the given `query`. */
function adapterWithQuery(
  pglite: PGlite,
  query: (sql: string, values: unknown[], options: QueryOptions) => Promise<Results>,
): Promise<SqlDriverAdapter> {
  const instance = new Proxy(pglite, {
    get: (target, key): unknown => (key === "query" ? query : Reflect.get(target, key)),
  });
  return new PrismaPGlite(instance).connect();
}

/**
 * Turns PGlite's callback API into Prisma's: PGlite keeps a transaction open until the promise of its callback settles, so
 * the callback waits until `commit` or `rollback` below is called. PGlite's one connection is reserved until then.
 */
function startTransaction(
  pglite: PGlite,
  prepared: PreparedStatements,
  first: string,
  isolationLevel?: IsolationLevel,
): Promise<Transaction> {
  return new Promise((resolve, reject) => {
    const ended: Promise<void> = pglite.transaction(
      (inner) =>
        new Promise<void>((end, fail) => {
          begin(pglite, inner, prepared, first, isolationLevel, end, () => ended).then(resolve, fail);
        }),
    );
    // Reports a failed BEGIN. A failed COMMIT is reported by `commit`, which waits for `ended`.
    ended.catch(reject);
  });
}

async function begin(
  pglite: PGlite,
  inner: PgliteTransaction,
  prepared: PreparedStatements,
  first: string,
  isolationLevel: IsolationLevel | undefined,
  end: () => void,
  ended: () => Promise<void>,
): Promise<Transaction> {
  if (isolationLevel) await inner.exec(`SET TRANSACTION ISOLATION LEVEL ${isolationLevel}`);
  await inner.exec(`${FORCE_GENERIC_PLAN_IN_TRANSACTION}; ${first}`);
  // Not `pglite.query`: it would wait for this transaction to end, and so for ever.
  const adapter = await adapterWithQuery(pglite, (sql, values, options) => {
    const name = prepared.nameOf(sql);
    return name === "" ? inner.query(sql, values, options) : prepared.run(name, sql, values, options);
  });
  return {
    provider: adapter.provider,
    adapterName: adapter.adapterName,
    options: { usePhantomQuery: true },
    queryRaw: (query) => adapter.queryRaw(query),
    executeRaw: (query) => adapter.executeRaw(query),
    commit: () => {
      end();
      return ended();
    },
    rollback: async () => {
      await inner.rollback();
      end();
      await ended();
    },
  };
}
