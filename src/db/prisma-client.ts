import type { SqlMigrationAwareDriverAdapterFactory } from "@prisma/driver-adapter-utils";
import { PrismaClient } from "./generated/client/client.ts";

/** In milliseconds: how long a transaction may wait for a connection, and how long it may then take. */
const TRANSACTION_LIMITS = { maxWait: 10_000, timeout: 10_000 };

/** @param onStatement called with the text of every SQL statement, for tests that count statements. */
export function createClient(
  adapter: SqlMigrationAwareDriverAdapterFactory,
  onStatement?: (sql: string) => void,
): PrismaClient {
  const prisma = new PrismaClient({
    adapter,
    errorFormat: "minimal",
    transactionOptions: TRANSACTION_LIMITS,
    log: onStatement ? [{ emit: "event", level: "query" }] : [],
  });
  if (onStatement) prisma.$on("query", (event) => onStatement(event.query));
  return prisma;
}
