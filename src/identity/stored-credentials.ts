import type { PrismaClient } from "../db/generated/client/client.ts";
import type { JobKind, Role } from "../db/generated/client/enums.ts";
import { allWorkspaces, within } from "../db/scope.ts";
import { permissionsOf } from "./permissions.ts";
import type { Principal } from "./principal.ts";

/** What the database knows of credentials in use: all that is read and written of them by itself, twice a second. */

/** Who calls, and so of which workspace, is not known before its key or session is read. */
const CREDENTIALS = allWorkspaces("credentials");

/** A credential that is valid, as the database had it. */
export interface StoredCredential {
  /** SHA-256 of its secret, in hexadecimal. */
  readonly hash: string;
  readonly principal: Principal;
  /** Milliseconds, by the database's clock, until it ends by itself; null if it does not. */
  readonly msLeft: number | null;
}

interface Row {
  readonly hash: string;
  readonly name: string;
  readonly apiKeyId: string | null;
  readonly workspaceId: string | null;
  readonly roles: readonly Role[];
  readonly jobKinds: readonly JobKind[] | null;
  readonly expiresAt: Date | null;
  readonly keysEndBy: Date | null;
  readonly msLeft: number | null;
}

/** Which credentials are sought. */
export interface SoughtCredentials {
  /** SHA-256 of their secrets, in hexadecimal. */
  readonly hashes: readonly string[];
  /** What sessions that are of no key must have been made with (`credential_hash`), in hexadecimal. */
  readonly vouchers: readonly string[];
}

/**
 * Reads all of these credentials that are valid, in one statement: API keys, and sessions whose credential is valid itself.
 */
export async function readCredentials(
  prisma: PrismaClient,
  { hashes, vouchers }: SoughtCredentials,
): Promise<readonly StoredCredential[]> {
  const rows = await within(
    CREDENTIALS,
    () => prisma.$queryRaw<Row[]>`
    WITH sought AS (SELECT decode(word, 'hex') AS hash FROM unnest(${[...hashes]}::text[]) AS word),
    of_keys AS (
      SELECT sought.hash, sought.hash AS key_hash, NULL::timestamptz AS expires_at FROM sought
      UNION ALL
      SELECT secret_hash, credential_hash, expires_at FROM sessions
        WHERE secret_hash IN (SELECT hash FROM sought) AND api_key_id IS NOT NULL
    )
    SELECT encode(o.hash, 'hex') AS hash, 'key:' || k.api_key_id AS name, k.api_key_id AS "apiKeyId", k.workspace_id AS "workspaceId",
      upper(k.roles::text)::text[] AS roles, upper(k.job_kinds::text)::text[] AS "jobKinds",
      least(o.expires_at, k.expires_at) AS "expiresAt", k.expires_at AS "keysEndBy",
      (extract(epoch FROM least(o.expires_at, k.expires_at, CASE WHEN k.secret_hash = o.key_hash THEN NULL ELSE k.overlap_until END)
        - clock_timestamp()) * 1000)::float8 AS "msLeft"
    FROM of_keys o
    JOIN api_keys k ON k.secret_hash = o.key_hash
      OR (k.previous_secret_hash = o.key_hash AND k.overlap_until > clock_timestamp())
    WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
      AND (o.expires_at IS NULL OR o.expires_at > clock_timestamp())
    UNION ALL
    SELECT encode(secret_hash, 'hex'), principal, NULL, workspace_id, upper(roles::text)::text[], NULL, expires_at,
      -- The operator never ends. The end of a JWT is not stored; its session ends no later.
      CASE WHEN workspace_id IS NOT NULL THEN expires_at END,
      (extract(epoch FROM expires_at - clock_timestamp()) * 1000)::float8
    FROM sessions
    WHERE secret_hash IN (SELECT hash FROM sought) AND api_key_id IS NULL AND expires_at > clock_timestamp()
      AND encode(credential_hash, 'hex') = ANY (${[...vouchers]}::text[])`,
  );
  return rows.map(({ hash, msLeft, ...row }) => ({ hash, msLeft, principal: principalOf(row) }));
}

/** Notes, to the minute and in one statement, that keys were used. */
export async function noteUse(prisma: PrismaClient, apiKeyIds: readonly string[]): Promise<void> {
  // Who holds the row of a key, such as another server, need not be waited for: the next minute's note comes.
  await within(
    CREDENTIALS,
    () => prisma.$executeRaw`
    WITH used AS (
      SELECT api_key_id FROM api_keys WHERE api_key_id = ANY(${[...apiKeyIds]}::uuid[])
        AND coalesce(last_used_at, '-infinity') < date_trunc('minute', clock_timestamp())
      FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE api_keys k SET last_used_at = date_trunc('minute', clock_timestamp()) FROM used WHERE k.api_key_id = used.api_key_id`,
  );
}

function principalOf({ roles, workspaceId, ...row }: Omit<Row, "hash" | "msLeft">): Principal {
  return { ...row, roles, workspaceId, permissions: permissionsOf(roles, workspaceId === null) };
}
