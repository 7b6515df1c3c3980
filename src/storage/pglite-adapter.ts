import type { PGlite, Transaction as PgliteTransaction } from "@electric-sql/pglite";
import type {
  IsolationLevel,
  SqlDriverAdapter,
  SqlMigrationAwareDriverAdapterFactory,
  Transaction,
} from "@prisma/driver-adapter-utils";
import { PrismaPGlite } from "pglite-prisma-adapter";

/**
 * `pglite-prisma-adapter` with two holes closed (both in 0.7.2):
 * an error raised at COMMIT was swallowed, so that a transaction which a deferred constraint had refused looked
 * committed; and `executeScript` neither waited for its script nor reported its failure.
 */
export class PgliteAdapterFactory implements SqlMigrationAwareDriverAdapterFactory {
  readonly provider = "postgres";
  readonly adapterName = "pglite-prisma-adapter";
  readonly #pglite: PGlite;

  constructor(pglite: PGlite) {
    this.#pglite = pglite;
  }

  async connect(): Promise<SqlDriverAdapter> {
    return repaired(await new PrismaPGlite(this.#pglite).connect(), this.#pglite);
  }

  async connectToShadowDb(): Promise<SqlDriverAdapter> {
    const { createPglite } = await import("./pglite.ts");
    const shadow = await createPglite();
    const adapter = repaired(await new PrismaPGlite(shadow).connect(), shadow);
    adapter.dispose = () => shadow.close();
    return adapter;
  }
}

function repaired(adapter: SqlDriverAdapter, pglite: PGlite): SqlDriverAdapter {
  adapter.executeScript = async (script) => {
    await pglite.exec(script);
  };
  adapter.startTransaction = (isolationLevel) => startTransaction(pglite, isolationLevel);
  return adapter;
}

/** PGlite's own `transaction` holds its one connection from BEGIN until `commit` or `rollback` below is called. */
function startTransaction(pglite: PGlite, isolationLevel?: IsolationLevel): Promise<Transaction> {
  return new Promise((resolve, reject) => {
    const ended: Promise<void> = pglite.transaction(
      (inner) =>
        new Promise<void>((end, fail) => {
          begin(pglite, inner, isolationLevel, end, () => ended).then(resolve, fail);
        }),
    );
    // A failed BEGIN reaches the caller here; a failed COMMIT reaches it through `commit`, which waits for `ended`.
    ended.catch(reject);
  });
}

async function begin(
  pglite: PGlite,
  inner: PgliteTransaction,
  isolationLevel: IsolationLevel | undefined,
  end: () => void,
  ended: () => Promise<void>,
): Promise<Transaction> {
  if (isolationLevel) await inner.exec(`SET TRANSACTION ISOLATION LEVEL ${isolationLevel}`);
  // The library's conversions, over the transaction's `query` instead of the instance's, which would wait for it.
  const view = new Proxy(pglite, {
    get: (target, key): unknown => (key === "query" ? inner.query.bind(inner) : Reflect.get(target, key)),
  });
  const queries = await new PrismaPGlite(view).connect();
  return {
    provider: queries.provider,
    adapterName: queries.adapterName,
    options: { usePhantomQuery: true },
    queryRaw: (query) => queries.queryRaw(query),
    executeRaw: (query) => queries.executeRaw(query),
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
