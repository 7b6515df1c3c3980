import { type PGlite, parse, protocol, type QueryOptions, type Results } from "@electric-sql/pglite";
import { preparedStatementNames } from "./prepared.ts";

const { serialize } = protocol;

/** `PGlite.query` for statements that are planned once (planned-once.ts), which it has no means for: by the protocol. */
export class PreparedStatements {
  readonly #pglite: PGlite;
  readonly #nameOf = preparedStatementNames();
  /** The types of each statement's parameters, once it has been prepared. */
  readonly #parameterTypes = new Map<string, readonly number[]>();

  constructor(pglite: PGlite) {
    this.#pglite = pglite;
  }

  /** The name of a statement that is planned once; empty for any other. */
  nameOf(sql: string): string {
    return this.#nameOf({ sql });
  }

  /** Runs a statement inside of a transaction that is open already. */
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
      if (!result) throw new Error("A statement has a result.");
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

  /** A value as it is sent: by its type's own rule, as `PGlite.query` does. */
  #serialize(value: unknown, type: number | undefined): string | null {
    if (value === null || value === undefined) return null;
    const serializer = type === undefined ? undefined : this.#pglite.serializers[type];
    if (serializer) return serializer(value);
    if (typeof value === "string") return value;
    if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") return String(value);
    throw new Error(`A parameter of the type ${type} has to be sent as text.`);
  }
}
