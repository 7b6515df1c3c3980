import { DatabaseError } from "../db/database-error.ts";
import type { PrismaClient } from "../db/generated/client/client.ts";
import { allWorkspaces, NO_WORKSPACE, within } from "../db/scope.ts";

/**
 * @throws DatabaseError where there are API keys, or the database was served with auth: whoever wanted that wants it still, and a
 * forgotten setting must not open all.
 */
export async function assertMayBeOpen(prisma: PrismaClient): Promise<void> {
  const keys = await within(allWorkspaces("credentials"), () =>
    prisma.apiKey.count({ where: { revokedAt: null }, take: 1 }),
  );
  const hasKeys = keys > 0;
  const { servedWithAuth } = await within(NO_WORKSPACE, () => prisma.eventLog.findFirstOrThrow());
  if (!hasKeys && !servedWithAuth) return;
  throw new DatabaseError(
    `This database ${hasKeys ? "has API keys" : "was served with auth"}, and the server is not told to ask who calls. ` +
      "Set AUTH=required, or AUTH=off to let everybody in.",
  );
}
