import { inspect } from "node:util";
import { ConfigError } from "./config-error.ts";
import { DatabaseError } from "./db/database-error.ts";
import { FolderInUseError } from "./db/folder-lock.ts";
import { MigrationError } from "./db/migrate.ts";
import { ListenError } from "./listen.ts";

const OPERATOR_ERRORS = [ConfigError, DatabaseError, MigrationError, FolderInUseError, ListenError];

/**
 * The text for an operator: message and cause for errors that an operator can fix, all details with the stack for
 * others.
 */
export function explain(error: unknown): string {
  if (!(error instanceof Error) || !OPERATOR_ERRORS.some((type) => error instanceof type)) return inspect(error);
  return error.cause instanceof Error ? `${error.message}\n  Cause: ${error.cause.message}` : error.message;
}
