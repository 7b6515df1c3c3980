import { once } from "node:events";
import net from "node:net";
import { PrismaPg } from "@prisma/adapter-pg";
import type { SqlDriverAdapter, SqlDriverAdapterFactory, Transaction } from "@prisma/driver-adapter-utils";
import pg from "pg";
import { PrismaClient } from "../../src/db/generated/client/client.ts";

/** Further clients of a database, and ways to break a connection at a chosen moment of a transaction. */

const TRANSACTION = { maxWait: 10_000, timeout: 10_000 };

/** How long a transaction waits for a connection (maxWait) and for a lock (lockTimeout), in milliseconds. */
export interface Patience {
  readonly maxWait: number;
  readonly lockTimeout: number;
}

/** A further client of a migrated database, as a second server has one. */
export function anotherClient(
  url: string,
  poolSize: number,
  { maxWait, lockTimeout }: Patience = { maxWait: TRANSACTION.maxWait, lockTimeout: 8000 },
): PrismaClient {
  const adapter = new PrismaPg({ connectionString: inUtc(url, lockTimeout), max: poolSize });
  const transactionOptions = { ...TRANSACTION, maxWait };
  return new PrismaClient({ adapter, errorFormat: "minimal", transactionOptions });
}

function inUtc(url: string, lockTimeout = 8000): string {
  const address = new URL(url);
  address.searchParams.set("options", `-c timezone=UTC -c lock_timeout=${lockTimeout}`);
  return address.href;
}

/**
 * Called before each statement of a transaction, COMMIT included. The statement is sent when the promise is fulfilled.
 */
export type BeforeStatement = (sql: string, backend: number) => Promise<void>;

/** A client like the server's own, with one connection that a test can pause between two statements. */
export function interruptibleClient(url: string, before: BeforeStatement): PrismaClient {
  const factory: SqlDriverAdapterFactory = {
    provider: "postgres",
    adapterName: "interruptible",
    connect: async () => {
      const adapter: SqlDriverAdapter = await new PrismaPg({ connectionString: inUtc(url), max: 1 }).connect();
      const start = adapter.startTransaction.bind(adapter);
      adapter.startTransaction = async (level) => interruptible(await start(level), before);
      return adapter;
    },
  };
  return new PrismaClient({ adapter: factory, errorFormat: "minimal", transactionOptions: TRANSACTION });
}

async function interruptible(tx: Transaction, before: BeforeStatement): Promise<Transaction> {
  const { rows } = await tx.queryRaw({ sql: "SELECT pg_backend_pid()", args: [], argTypes: [] });
  const backend = Number(rows[0]?.[0]);
  const query = tx.queryRaw.bind(tx);
  const execute = tx.executeRaw.bind(tx);
  tx.queryRaw = async (statement) => {
    await before(statement.sql, backend);
    return query(statement);
  };
  tx.executeRaw = async (statement) => {
    await before(statement.sql, backend);
    return execute(statement);
  };
  return tx;
}

export interface Proxy {
  /** The database's URL through this proxy. */
  readonly url: string;
  /** Breaks every connection. */
  cut(): void;
  /** Forwards requests. When the next answer comes, drops it and breaks every connection. */
  loseNextAnswer(): void;
  /** Ends the next connection right after PostgreSQL's greeting, with the error message that PostgreSQL would send. */
  endNextGreeting(): void;
  /** Forwards requests but no answers, until `allow`. */
  silence(): void;
  /** Forwards nothing on the open connections, in either direction, as if the host had died. New connections work. */
  abandon(): void;
  /** Breaks every new connection, until `allow`. */
  refuse(): void;
  allow(): void;
  /** Sends new connections elsewhere, and breaks the others: the address has moved. */
  moveTo(databaseUrl: string): void;
  close(): Promise<void>;
}

/**
 * Two messages of the PostgreSQL protocol: ReadyForQuery (idle), and the ErrorResponse that pg_terminate_backend sends.
 */
const READY = Buffer.from("Z\0\0\0\x05I", "latin1");
const ERROR_FIELDS = "SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0";
const TERMINATED = Buffer.from(`E\0\0\0${String.fromCharCode(ERROR_FIELDS.length + 4)}${ERROR_FIELDS}`, "latin1");

/** A network between the server and PostgreSQL that fails when a test says so. */
export async function startProxy(databaseUrl: string): Promise<Proxy> {
  let target = new URL(databaseUrl);
  const open = new Set<net.Socket>();
  const abandoned = new WeakSet<net.Socket>();
  let mode: "pass" | "lose" | "end" | "silent" | "refuse" = "pass";
  const cut = () => {
    for (const socket of open) socket.destroy();
    open.clear();
  };
  const track = (socket: net.Socket) => {
    open.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => open.delete(socket));
  };
  const server = net.createServer((near) => {
    track(near);
    if (mode === "refuse") {
      near.destroy();
      return;
    }
    const far = net.connect(Number(target.port || 5432), target.hostname);
    track(far);
    near.on("data", (data) => {
      if (!abandoned.has(near)) far.write(data);
    });
    far.on("data", (data) => {
      if (abandoned.has(far)) return;
      if (mode === "lose") {
        mode = "pass";
        cut();
      } else if (mode === "end" && data.subarray(-READY.length).equals(READY)) {
        mode = "pass";
        near.end(Buffer.concat([data, TERMINATED]));
      } else if (mode !== "silent") near.write(data);
    });
    near.on("close", () => {
      if (!abandoned.has(far)) far.destroy();
    });
    far.on("close", () => {
      if (!abandoned.has(near)) near.destroy();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const url = new URL(databaseUrl);
  url.hostname = "127.0.0.1";
  url.port = String(typeof address === "object" && address ? address.port : 0);
  return {
    url: url.href,
    cut,
    moveTo: (otherUrl) => {
      target = new URL(otherUrl);
      cut();
    },
    loseNextAnswer: () => {
      mode = "lose";
    },
    endNextGreeting: () => {
      mode = "end";
    },
    silence: () => {
      mode = "silent";
    },
    abandon: () => {
      for (const socket of open) abandoned.add(socket);
    },
    refuse: () => {
      mode = "refuse";
    },
    allow: () => {
      mode = "pass";
    },
    close: async () => {
      cut();
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}

/** A connection of the test's own, on which it observes and terminates the server's connections. */
export async function connectTo(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

/** Terminates a connection on PostgreSQL's side. @returns when the connection has ended. */
export async function terminate(admin: pg.Client, backend: number): Promise<void> {
  const { rows } = await admin.query<{ gone: boolean }>("SELECT pg_terminate_backend($1, 5000) AS gone", [backend]);
  if (rows[0]?.gone !== true) throw new Error(`The connection ${backend} did not end.`);
}
