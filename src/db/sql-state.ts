/** @returns the SQLSTATE of an error, such as `40P01`; undefined where it has none. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  // An error at the COMMIT of the embedded database is not wrapped by Prisma.
  if (error.name === "error" && "severity" in error && "code" in error && typeof error.code === "string") {
    return error.code;
  }
  const inner = "meta" in error && isRecord(error.meta) ? error.meta.driverAdapterError : error;
  const cause = isRecord(inner) ? inner.cause : undefined;
  const code = isRecord(cause) ? cause.originalCode : undefined;
  return typeof code === "string" ? code : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
