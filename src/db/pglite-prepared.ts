import { type PGlite, parse, protocol, type QueryOptions, type Results } from "@electric-sql/pglite";
import { preparedStatementNames } from "./prepared.ts";

const { serialize } = protocol;

/**
 * Runs statements with generic plans (prepared.ts) on PGlite. `PGlite.query` cannot name a prepared statement and so plans
 * it at every call; this class sends the messages of PostgreSQL's wire protocol itself.
 */
export class PreparedStatements {
  static readonly #all = new WeakMap<PGlite, PreparedStatements>();
  readonly #pglite: PGlite;
  readonly #nameOf = preparedStatementNames();
  /** The OIDs of each prepared statement's parameter types, by the statement's name. */
  readonly #parameterTypes = new Map<string, readonly number[]>();

  private constructor(pglite: PGlite) {
    this.#pglite = pglite;
  }

  /** @returns those of a PGlite. It has one session, so all its clients share their names. */
  static of(pglite: PGlite): PreparedStatements {
    const known = PreparedStatements.#all.get(pglite);
    if (known) return known;
    const statements = new PreparedStatements(pglite);
    PreparedStatements.#all.set(pglite, statements);
    return statements;
  }

  /** @returns the name under which a statement is prepared; empty for one that is not to be prepared. */
  nameOf(sql: string): string {
    return this.#nameOf({ sql });
  }

  /**
   * Runs a statement in the transaction that is open, and prepares it if this is its first run.
   * @throws Error with PostgreSQL's code when the statement fails.
   */
  run(name: string, sql: string, values: readonly unknown[], options: QueryOptions): Promise<Results> {
    return this.#pglite.runExclusive(async () => {
      const messages: Awaited<ReturnType<PGlite["execProtocolStream"]>> = [];
      const send = async (message: Uint8Array) => {
        messages.push(...(await this.#pglite.execProtocolStream(message, { syncToFs: false })));
      };
      try {
        const types = this.#parameterTypes.get(name) ?? (await this.#prepare(name, sql));
        await send(
          serialize.bind({
            statement: name,
            values: values.map((value, index) => this.#serialize(value, types[index])),
          }),
        );
        await send(serialize.describe({ type: "P" }));
        await send(serialize.execute({}));
      } finally {
        await send(serialize.sync());
      }
      const [result] = parse.parseResults(messages, this.#pglite.parsers, options);
      if (!result) throw new Error("PGlite returned no result for a statement.");
      return result;
    });
  }

  async #prepare(name: string, sql: string): Promise<readonly number[]> {
    await this.#pglite.execProtocolStream(serialize.parse({ name, text: sql }), { syncToFs: false });
    const description = await this.#pglite.execProtocolStream(serialize.describe({ type: "S", name }), {
      syncToFs: false,
    });
    const types = parse.parseDescribeStatementResults(description);
    this.#parameterTypes.set(name, types);
    return types;
  }

  /** @returns a value as text, by the serializer of its parameter's type, as `PGlite.query` does it. */
  #serialize(value: unknown, type: number | undefined): string | null {
    if (value === null || value === undefined) return null;
    const serializer = type === undefined ? undefined : this.#pglite.serializers[type];
    if (serializer) return serializer(value);
    if (typeof value === "string") return value;
    if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") return String(value);
    throw new Error(`No serializer for a parameter of type OID ${type}: pass it as text.`);
  }
}
