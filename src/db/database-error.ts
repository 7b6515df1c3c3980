import { sqlState } from "./sql-state.ts";

/** The database cannot be used as it is. The message says what to do. */
export class DatabaseError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "DatabaseError";
  }
}

/** What PostgreSQL, or the way to it, answers instead of a connection, and what to do about it. */
const CONNECT_ERRORS: Readonly<Record<string, string>> = {
  "28P01": "PostgreSQL refused the password in {setting}. Correct it.",
  "28000": "PostgreSQL does not let this user in from here. Correct the user in {setting}, or pg_hba.conf.",
  "3D000": "PostgreSQL has no database of the name in {setting}. Create it, or correct the name.",
  "42501": "PostgreSQL does not let this user connect to the database in {setting}: GRANT CONNECT on it.",
  "53300": "PostgreSQL has no connection left. Raise max_connections, or lower DATABASE_POOL_SIZE of its servers.",
  "57P03": "PostgreSQL is starting up or shutting down. Start again when it answers.",
  "08P01":
    "What answers at the address in {setting} does not let this user in, or does not know the database: a pooler?",
  ENOTFOUND: "The host in {setting} is not known. Correct it.",
};

/**
 * @param setting the environment variable that has the address.
 * @returns the error of a connection that could not be made, for the operator: one cause, one sentence.
 */
export function connectError(error: unknown, setting: string): DatabaseError {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const message = typeof code === "string" ? CONNECT_ERRORS[code] : undefined;
  return new DatabaseError(
    message?.replace("{setting}", setting) ??
      `PostgreSQL does not answer at the address in ${setting}. Start it, or correct the address; unset DATABASE_URL to ` +
        "use the embedded database.",
    error,
  );
}

/** What went wrong after PostgreSQL had let the server in. */
export function preparationError(error: unknown): DatabaseError {
  // The engine that migrates passes on PostgreSQL's words, and not its code.
  const isDenied = error instanceof Error && error.message.startsWith("permission denied");
  switch (isDenied ? "42501" : (sqlState(error) ?? "")) {
    case "42501":
      return new DatabaseError(
        "The database lacks migrations, and this user may not apply them. Run `npx ai-job-server migrate` as the owner of the tables, and " +
          "start with MIGRATE=off.",
        error,
      );
    case "25006":
      return new DatabaseError(
        "The database lacks migrations, and is read-only: a standby, or default_transaction_read_only. Point DATABASE_URL at " +
          "the primary.",
        error,
      );
    default:
      return new DatabaseError(
        "PostgreSQL answered, but the database could not be prepared, and the server did not start. Fix the cause named " +
          "below, then start again.",
        error,
      );
  }
}
