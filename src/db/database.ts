import type { Prisma, PrismaClient } from "./generated/client/client.ts";
import type { PoolMode } from "./session.ts";

/** Where the database is. The configuration makes this from DATABASE_URL. */
export type DatabaseLocation =
  | { readonly kind: "memory" }
  | { readonly kind: "folder"; readonly path: string }
  | PostgresLocation;

/** A database on a PostgreSQL server. */
export interface PostgresLocation {
  readonly kind: "postgres";
  readonly url: string;
  readonly poolSize: number;
  /** What stands at the address: PostgreSQL itself, or a pooler. Left out: PostgreSQL itself. */
  readonly poolMode?: PoolMode;
  /** The address of PostgreSQL itself, for what needs a session: migrations, and the notify hints. */
  readonly directUrl?: string;
  /** The address of PostgreSQL itself, as the role that owns the tables: it migrates. Left out: the server's role does. */
  readonly migrateUrl?: string;
  /** Whether the server's role must be one that row-level security holds for. Left out: false. */
  readonly needsOwnRole?: boolean;
  /** Whether the migrations that lack are applied. Left out: true. False: they are only looked for. */
  readonly migrates?: boolean;
}

/** An open, migrated database. */
export interface Database {
  readonly prisma: PrismaClient;
  readonly kind: DatabaseLocation["kind"];
  /**
   * Registers the one listener that is called each time a COMMIT has been sent; a later call replaces it. The listener may
   * read with the given function, on the connection of that COMMIT and directly after it (see `OnCommitSent` in pool.ts).
   * Missing on the embedded database: it has one connection, so a separate read costs the same.
   */
  onCommitSent?(listener: (read: ReadRows) => void): void;
  /**
   * Registers the one listener that is called for each new connection: it may be to another PostgreSQL server than the ones
   * before. Missing on the embedded database, which has one connection for as long as it is open.
   */
  onConnect?(listener: () => void): void;
  /** The state of the pool of connections. Missing on the embedded database, which has one connection. */
  pool?(): PoolState;
  /** Closes all connections. A folder of the embedded database is then free for another process. */
  close(): Promise<void>;
}

/** How many connections there are, how many of them nobody uses, and how many statements wait for one. */
export interface PoolState {
  readonly total: number;
  readonly idle: number;
  readonly waiting: number;
}

/** Sends a statement. @returns its rows, as Prisma returns them. A rejection says nothing about the COMMIT before it. */
export type ReadRows = <Row extends object>(sql: Prisma.Sql) => Promise<Row[]>;
