import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import {
  bindMigrationAwareSqlAdapterFactory,
  type SqlDriverAdapter,
  type SqlMigrationAwareDriverAdapterFactory,
} from "@prisma/driver-adapter-utils";
import * as bindings from "@prisma/schema-engine-wasm/schema_engine_bg";

/** TypeScript declares this with the browser's library only, which has no place in a server. */
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: { __wbindgen_start(): void } } }>;
};

declare global {
  /** Where the engine leaves the text of a panic before it traps; it fails with a riddle when this is missing. */
  var PRISMA_WASM_PANIC_REGISTRY: { set_message(message: string): void } | undefined;
}

/** The file that says what the tables should be. */
export const SCHEMA_FILE = fileURLToPath(new URL("../../prisma/schema.prisma", import.meta.url));

export interface OpenSchemaEngine {
  readonly engine: bindings.SchemaEngine;
  /** What the database said: the engine's own error names only the number under which the adapter keeps it. */
  causeOf(error: unknown): unknown;
  /** Closes its connections, too: one of them holds a lock for as long as it lives. */
  close(): Promise<void>;
}

/**
 * Prisma's own schema engine, from its WebAssembly build on npm: the CLI would download a native binary instead,
 * and a start must need no network. It keeps `_prisma_migrations`, so `prisma migrate deploy` stays interchangeable.
 */
export async function openSchemaEngine(adapters: SqlMigrationAwareDriverAdapterFactory): Promise<OpenSchemaEngine> {
  await loadEngine();
  const connections: SqlDriverAdapter[] = [];
  const { provider, adapterName } = adapters;
  const connect = async () => {
    const connection = await adapters.connect();
    connections.push(connection);
    return connection;
  };
  const connectToShadowDb = () => adapters.connectToShadowDb();
  const bound = bindMigrationAwareSqlAdapterFactory({ provider, adapterName, connect, connectToShadowDb });
  const datamodels: [string, string][] = [[SCHEMA_FILE, await readFile(SCHEMA_FILE, "utf8")]];
  const engine = await bindings.SchemaEngine.new({ datamodels }, () => undefined, bound);
  return {
    engine,
    causeOf: (error) => {
      const [, id] = /External error id#(\d+)/.exec(error instanceof Error ? error.message : "") ?? [];
      return (id === undefined ? undefined : bound.errorRegistry.consumeError(Number(id))?.error) ?? error;
    },
    close: async () => {
      engine.free();
      await Promise.all(connections.map((connection) => connection.dispose()));
    },
  };
}

let engineLoaded: Promise<void> | undefined;

function loadEngine(): Promise<void> {
  engineLoaded ??= (async () => {
    const file = `${createRequire(import.meta.url)
      .resolve("@prisma/schema-engine-wasm/schema_engine_bg")
      .slice(0, -".js".length)}.wasm`;
    const imports = { "./schema_engine_bg.js": withUnrefTimers(bindings) };
    const { instance } = await WebAssembly.instantiate(await readFile(file), imports);
    globalThis.PRISMA_WASM_PANIC_REGISTRY ??= {
      set_message(message) {
        throw new Error(`Prisma's schema engine gave up: ${message}`);
      },
    };
    bindings.__wbg_set_wasm(instance.exports);
    instance.exports.__wbindgen_start();
  })();
  return engineLoaded;
}

/** The engine never takes back the timers of its locks: a process that has nothing else to do would wait for 10 seconds. */
function withUnrefTimers(functions: object): object {
  const entries: [string, unknown][] = Object.entries(functions);
  const setTimer = (callback: () => void, ms: number) => setTimeout(callback, ms).unref();
  return Object.fromEntries(
    entries.map(([name, value]) => [name, name.startsWith("__wbg_setTimeout_") ? setTimer : value]),
  );
}
