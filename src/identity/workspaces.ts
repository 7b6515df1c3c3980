import { uuidv7 } from "uuidv7";
import { Prisma, type PrismaClient, type Workspace } from "../db/generated/client/client.ts";
import { allWorkspaces, within } from "../db/scope.ts";
import type { Slice } from "../db/slice.ts";
import { type CommandContext, inTransaction } from "../db/transaction.ts";
import { InvalidInputError, NotFoundError } from "../errors.ts";

/** Workspaces (section 11). With auth, one exists only after it was made here; without, its first job makes it. */

/** A statement that makes a workspace without a name, if there is none of this id: of a server without auth. */
export function makeWorkspace(workspaceId: string): Prisma.Sql {
  return Prisma.sql`INSERT INTO workspaces (workspace_id) VALUES (${workspaceId}::uuid) ON CONFLICT DO NOTHING`;
}

export interface CreateWorkspace {
  readonly name: string;
  /** Its id; null for a new one. */
  readonly workspaceId: string | null;
}

/**
 * Makes a workspace. The same id with the same name may be sent again; a workspace that came with its first job, and has no name yet,
 * gets this one.
 * @returns the workspace, or InvalidInputError where another workspace has the id.
 * @throws TryAgainError when the database failed too often: nothing was kept.
 */
export function createWorkspace(
  context: CommandContext,
  { name, workspaceId }: CreateWorkspace,
): Promise<Workspace | InvalidInputError> {
  return inTransaction(context, allWorkspaces("deployment"), async (tx) => {
    const id = workspaceId ?? uuidv7();
    await tx.$executeRaw`
      INSERT INTO workspaces AS old (workspace_id, name) VALUES (${id}::uuid, ${name})
      ON CONFLICT (workspace_id) DO UPDATE SET name = excluded.name WHERE old.name IS NULL`;
    const workspace = await tx.workspace.findUniqueOrThrow({ where: { workspaceId: id } });
    if (workspace.name === name) return workspace;
    return new InvalidInputError(
      ["input", "workspaceId"],
      "Another workspace has this id. Leave it out for a new one.",
    );
  });
}

export interface UpdateWorkspace {
  readonly workspaceId: string;
  /** Undefined to leave it as it is. */
  readonly name: string | undefined;
  /** How many days the jobs of an ended tree are kept; null to keep them; undefined to leave it as it is. */
  readonly retentionDays: number | null | undefined;
}

/**
 * Changes a workspace.
 * @returns the workspace as it is now, or NotFoundError.
 * @throws TryAgainError when the database failed too often: nothing was kept.
 */
export function updateWorkspace(
  context: CommandContext,
  { workspaceId, name, retentionDays }: UpdateWorkspace,
): Promise<Workspace | NotFoundError> {
  return inTransaction(context, allWorkspaces("deployment"), async (tx) => {
    const [changed] = await tx.workspace.updateManyAndReturn({
      where: { workspaceId },
      data: { ...(name === undefined ? {} : { name }), ...(retentionDays === undefined ? {} : { retentionDays }) },
    });
    return changed ?? new NotFoundError("workspace");
  });
}

/** Lists workspaces, newest first where their ids are UUIDv7. @returns the slice; oldest first where it counts from the end. */
export function listWorkspaces(
  prisma: PrismaClient,
  { limit, after, before, fromEnd }: Slice<string>,
): Promise<Workspace[]> {
  const workspaces = prisma.workspace.findMany({
    where: {
      workspaceId: { ...(after === undefined ? {} : { lt: after }), ...(before === undefined ? {} : { gt: before }) },
    },
    orderBy: { workspaceId: fromEnd ? "asc" : "desc" },
    take: limit,
  });
  return within(allWorkspaces("deployment"), () => workspaces);
}

/** @returns those of these workspaces that there are. */
export function findWorkspaces(prisma: PrismaClient, ids: readonly string[]): Promise<Workspace[]> {
  return within(ids, () => prisma.workspace.findMany({ where: { workspaceId: { in: [...ids] } } }));
}
