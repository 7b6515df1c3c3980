import { uuidv7 } from "uuidv7";
import { type ApiKey, Prisma } from "../db/generated/client/client.ts";
import type { JobKind, Role } from "../db/generated/client/enums.ts";
import { within } from "../db/scope.ts";
import type { Slice } from "../db/slice.ts";
import { type CommandContext, inTransaction, type Transaction } from "../db/transaction.ts";
import { ForbiddenError, InvalidInputError, lacks, NotFoundError } from "../errors.ts";
import { newApiKeySecret, storedSecretOf } from "./api-key.ts";
import { permissionsOf } from "./permissions.ts";
import { type Principal, scopeOf } from "./principal.ts";

/**
 * API keys (section 11). Nobody makes, or gets by rotating, a key that may do more than they may: not by permissions, kinds, workspace
 * or lifetime. Keys of the whole deployment are seen and changed by principals of the whole deployment alone.
 */

export interface CreateApiKey {
  readonly name: string;
  readonly roles: readonly Role[];
  /** Null for all. */
  readonly jobKinds: readonly JobKind[] | null;
  readonly expiresAt: Date | null;
  /** The workspace of the key; null for one of the whole deployment. */
  readonly workspaceId: string | null;
}

/** A key with its secret, which is shown this once. */
export interface KeyWithSecret {
  readonly apiKey: ApiKey;
  readonly secret: string;
}

/**
 * Makes a key.
 * @returns the key with its secret; or why it is not made.
 * @throws TryAgainError when the database failed too often: nothing was kept.
 */
export async function createApiKey(
  context: CommandContext,
  maker: Principal,
  input: CreateApiKey,
): Promise<KeyWithSecret | ForbiddenError | InvalidInputError | NotFoundError> {
  const expiresAt = input.expiresAt ?? maker.keysEndBy;
  const key = { ...input, expiresAt };
  const excess = excessOver(maker, key);
  if (excess) return excess;
  return inTransaction(context, scopeOf(maker), async (tx) => {
    if (expiresAt !== null && expiresAt <= (await databaseNow(tx)))
      return new InvalidInputError(["input", "expiresAt"], "This time has passed. Give a later one, or none.");
    const { workspaceId, name, roles, jobKinds } = key;
    if (workspaceId !== null && !(await tx.workspace.findUnique({ where: { workspaceId } })))
      return new NotFoundError("workspace");
    const secret = newApiKeySecret();
    const { hash, prefix, lastFour } = storedSecretOf(secret);
    const apiKeyId = uuidv7();
    await tx.$executeRaw`
      INSERT INTO api_keys (api_key_id, workspace_id, name, secret_hash, prefix, last_four, roles, job_kinds, created_by,
        created_by_key_id, expires_at)
      VALUES (${apiKeyId}::uuid, ${workspaceId}::uuid, ${name}, ${hash}, ${prefix}, ${lastFour}, ${enumArray(roles, "Role")},
        ${jobKinds === null ? Prisma.sql`NULL` : enumArray(jobKinds, "JobKind")}, ${maker.name}, ${maker.apiKeyId}::uuid,
        ${expiresAt})`;
    return { apiKey: await tx.apiKey.findUniqueOrThrow({ where: { apiKeyId } }), secret };
  });
}

/** Which key, and for how long its old secret goes on working. */
export interface RotateApiKey {
  readonly apiKeyId: string;
  readonly overlapSeconds: number;
}

/**
 * Gives a key a new secret. The old one ends now, or after the overlap; one from before that ends now.
 * @returns the key with its new secret; or why it is not rotated.
 * @throws TryAgainError when the database failed too often: nothing was kept.
 */
export function rotateApiKey(
  context: CommandContext,
  maker: Principal,
  { apiKeyId, overlapSeconds }: RotateApiKey,
): Promise<KeyWithSecret | ForbiddenError | InvalidInputError | NotFoundError> {
  return inTransaction(context, scopeOf(maker), async (tx) => {
    const key = await lockKey(tx, maker, apiKeyId);
    if (!key) return new NotFoundError("API key");
    const excess = excessOver(maker, { ...key, jobKinds: kindsOf(key) });
    if (excess) return excess;
    if (key.revokedAt !== null || (key.expiresAt !== null && key.expiresAt <= (await databaseNow(tx))))
      return new InvalidInputError(["input", "apiKeyId"], "This key has ended. Make a new one.");
    const secret = newApiKeySecret();
    const { hash, prefix, lastFour } = storedSecretOf(secret);
    const hasOverlap = overlapSeconds > 0;
    await tx.$executeRaw`
      UPDATE api_keys SET secret_hash = ${hash}, prefix = ${prefix}, last_four = ${lastFour},
        previous_secret_hash = CASE WHEN ${hasOverlap} THEN secret_hash END,
        overlap_until = CASE WHEN ${hasOverlap} THEN clock_timestamp() + make_interval(secs => ${overlapSeconds}) END
      WHERE api_key_id = ${apiKeyId}::uuid`;
    return { apiKey: await tx.apiKey.findUniqueOrThrow({ where: { apiKeyId } }), secret };
  });
}

export interface RevokeApiKey {
  readonly apiKeyId: string;
  /** Whether the keys that it made, and those that they made, are revoked as well. */
  readonly includeDescendants: boolean;
}

/**
 * Ends a key for good. To repeat it changes nothing.
 * @returns the keys that are revoked now; or NotFoundError.
 * @throws TryAgainError when the database failed too often: nothing was kept.
 */
export function revokeApiKey(
  context: CommandContext,
  by: Principal,
  { apiKeyId, includeDescendants }: RevokeApiKey,
): Promise<readonly ApiKey[] | NotFoundError> {
  return inTransaction(context, scopeOf(by), async (tx) => {
    if (!(await lockKey(tx, by, apiKeyId))) return new NotFoundError("API key");
    // UNION and not UNION ALL, so that it ends whatever the rows say.
    const ids = await tx.$queryRaw<{ id: string }[]>`
      WITH RECURSIVE ended AS (
        SELECT api_key_id FROM api_keys WHERE api_key_id = ${apiKeyId}::uuid
        UNION SELECT k.api_key_id FROM api_keys k JOIN ended ON ${includeDescendants} AND k.created_by_key_id = ended.api_key_id
      )
      UPDATE api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp())
      WHERE api_key_id IN (SELECT api_key_id FROM ended) AND ${visibleTo(by)}
      RETURNING api_key_id AS id`;
    return tx.apiKey.findMany({ where: { apiKeyId: { in: ids.map(({ id }) => id) } }, orderBy: { apiKeyId: "asc" } });
  });
}

/** Lists the keys that a principal may see, newest first. @returns the slice; oldest first where it counts from the end. */
export function listApiKeys(
  db: Transaction,
  by: Principal,
  { limit, after, before, fromEnd }: Slice<string>,
): Promise<ApiKey[]> {
  const keys = db.apiKey.findMany({
    where: {
      ...(by.workspaceId === null ? {} : { workspaceId: by.workspaceId }),
      apiKeyId: { ...(after === undefined ? {} : { lt: after }), ...(before === undefined ? {} : { gt: before }) },
    },
    orderBy: { apiKeyId: fromEnd ? "asc" : "desc" },
    take: limit,
  });
  return within(scopeOf(by), () => keys);
}

/** @returns those of these keys that a principal may see. */
export function findApiKeys(db: Transaction, by: Principal, ids: readonly string[]): Promise<ApiKey[]> {
  const visible = by.workspaceId === null ? {} : { workspaceId: by.workspaceId };
  return within(scopeOf(by), () => db.apiKey.findMany({ where: { ...visible, apiKeyId: { in: [...ids] } } }));
}

/** @returns the kinds that a stored key is limited to; null for all, which Prisma reads as an empty list. */
export function kindsOf({ jobKinds }: ApiKey): readonly JobKind[] | null {
  return jobKinds.length === 0 ? null : jobKinds;
}

/** What a key may do, as far as its maker must be able to do it. */
type KeyRights = Pick<CreateApiKey, "roles" | "jobKinds" | "expiresAt" | "workspaceId">;

/** @returns why a principal must not have a key with these rights; null where it may. */
function excessOver(maker: Principal, key: KeyRights): ForbiddenError | null {
  if (maker.workspaceId !== null && key.workspaceId !== maker.workspaceId)
    return new ForbiddenError("A key of another workspace, or of all, takes a principal of the whole deployment.");
  const lacking = [...permissionsOf(key.roles, key.workspaceId === null)].find((each) => !maker.permissions.has(each));
  if (lacking !== undefined) return lacks(lacking);
  const { jobKinds, keysEndBy } = maker;
  if (jobKinds !== null && !key.jobKinds?.every((kind) => jobKinds.includes(kind)))
    return new ForbiddenError(`You may use these kinds alone, and so may the key: ${jobKinds.join(", ")}.`);
  if (keysEndBy !== null && (key.expiresAt === null || key.expiresAt > keysEndBy))
    return new ForbiddenError(`You end at ${keysEndBy.toISOString()}, and the key must not end later.`);
  return null;
}

async function lockKey(tx: Transaction, by: Principal, apiKeyId: string): Promise<ApiKey | null> {
  const [found] = await tx.$queryRaw<{ id: string }[]>`
    SELECT api_key_id AS id FROM api_keys WHERE api_key_id = ${apiKeyId}::uuid AND ${visibleTo(by)} FOR NO KEY UPDATE`;
  return found ? tx.apiKey.findUnique({ where: { apiKeyId } }) : null;
}

function visibleTo({ workspaceId }: Principal): Prisma.Sql {
  return workspaceId === null ? Prisma.sql`true` : Prisma.sql`workspace_id = ${workspaceId}::uuid`;
}

async function databaseNow(tx: Transaction): Promise<Date> {
  const [row] = await tx.$queryRaw<{ now: Date }[]>`SELECT clock_timestamp()::timestamptz(3) AS now`;
  if (!row) throw new Error("The database has a clock.");
  return row.now;
}

function enumArray(words: readonly string[], type: "Role" | "JobKind"): Prisma.Sql {
  return Prisma.sql`${words.map((word) => word.toLowerCase())}::text[]::${Prisma.raw(`"${type}"`)}[]`;
}
