import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import {
  bindMigrationAwareSqlAdapterFactory,
  type SqlDriverAdapter,
  type SqlMigrationAwareDriverAdapterFactory,
} from "@prisma/driver-adapter-utils";
import * as bindings from "@prisma/schema-engine-wasm/schema_engine_bg";

/** The part of the global `WebAssembly` that is used here: TypeScript declares it only in the library for browsers. */
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: { __wbindgen_start(): void } } }>;
};

declare global {
  /** The engine passes the text of a panic here before it aborts. Without it, the error says nothing about the cause. */
  var PRISMA_WASM_PANIC_REGISTRY: { set_message(message: string): void } | undefined;
}

/** The path of prisma/schema.prisma. */
export const SCHEMA_FILE = fileURLToPath(new URL("../../prisma/schema.prisma", import.meta.url));

/** A schema engine that is connected to a database. */
export interface OpenSchemaEngine {
  readonly engine: bindings.SchemaEngine;
  /** @returns the database's error behind an error of the engine, which contains only the error's id in the adapter; otherwise
   *   the error itself. */
  causeOf(error: unknown): unknown;
  /** Frees the engine and closes its connections, one of which holds an advisory lock until then. */
  close(): Promise<void>;
}

/**
 * Opens Prisma's schema engine, in its WebAssembly build from npm. The CLI would download a native binary instead, and a
 * start must not need the network. The engine maintains `_prisma_migrations`, so that `prisma migrate deploy` still works.
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
        throw new Error(`Prisma's schema engine failed: ${message}`);
      },
    };
    bindings.__wbg_set_wasm(instance.exports);
    instance.exports.__wbindgen_start();
  })();
  return engineLoaded;
}

/** Makes the engine's timers not keep the process alive: it never clears those of its locks, and an exit would wait 10 s. */
function withUnrefTimers(functions: object): object {
  const entries: [string, unknown][] = Object.entries(functions);
  const setTimer = (callback: () => void, ms: number) => setTimeout(callback, ms).unref();
  return Object.fromEntries(
    entries.map(([name, value]) => [name, name.startsWith("__wbg_setTimeout_") ? setTimer : value]),
  );
}
