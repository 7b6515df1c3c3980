import { hash, randomBytes } from "node:crypto";
import { Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import { allWorkspaces, within } from "../db/scope.ts";
import { type Principal, scopeOf } from "./principal.ts";

/** Sessions of browsers (section 11): what a page gets in exchange for a credential, so that it need not keep that. */

/** Who ends a session is known by it alone, and those that have ended are of all workspaces. */
const CREDENTIALS = allWorkspaces("credentials");
/** The hours of a session; it ends sooner with its principal. */
const HOURS = 12;
const SECRET_BYTES = 32;
const SHAPE = /^[\w-]{43}$/;

/** A session with its secret, which is shown this once. */
export interface NewSession {
  readonly secret: string;
  readonly expiresAt: Date;
}

/** Whether a text has the form of a session's secret. */
export function isSessionSecret(text: string): boolean {
  return SHAPE.test(text);
}

/** @returns the hash by which a session is found, in hexadecimal. */
export function hashOfSession(secret: string): string {
  return hash("sha256", secret);
}

/**
 * Makes a session.
 * @param credentialHash SHA-256, in hexadecimal, of what must go on being valid for the session to be.
 * @returns the session with its secret; undefined where the principal has ended, or its workspace does not exist.
 */
export async function createSession(
  prisma: PrismaClient,
  principal: Principal,
  credentialHash: string,
): Promise<NewSession | undefined> {
  const { name, workspaceId, roles, apiKeyId, expiresAt } = principal;
  const secret = randomBytes(SECRET_BYTES).toString("base64url");
  const [stored] = await within(
    scopeOf(principal),
    () => prisma.$queryRaw<{ expiresAt: Date }[]>`
    INSERT INTO sessions (secret_hash, workspace_id, principal, roles, api_key_id, credential_hash, expires_at)
    SELECT decode(${hashOfSession(secret)}, 'hex'), ${workspaceId}::uuid, ${name}, ${rolesOf(roles)}, ${apiKeyId}::uuid,
      decode(${credentialHash}, 'hex'), ends.at
    FROM (SELECT least(now() + make_interval(hours => ${HOURS}::int), ${expiresAt}::timestamptz) AS at) AS ends
    WHERE ends.at > now()
      AND (${workspaceId}::uuid IS NULL OR EXISTS (SELECT FROM workspaces WHERE workspace_id = ${workspaceId}::uuid))
    RETURNING expires_at AS "expiresAt"`,
  );
  return stored && { secret, ...stored };
}

/** Ends a session. To repeat it changes nothing. */
export async function deleteSession(prisma: PrismaClient, secret: string): Promise<void> {
  const hash = hashOfSession(secret);
  await within(CREDENTIALS, () => prisma.$executeRaw`DELETE FROM sessions WHERE secret_hash = decode(${hash}, 'hex')`);
}

/** Deletes the sessions that have ended by themselves. */
export async function deleteEndedSessions(prisma: PrismaClient): Promise<void> {
  await within(CREDENTIALS, () => prisma.$executeRaw`DELETE FROM sessions WHERE expires_at < clock_timestamp()`);
}

function rolesOf(roles: Principal["roles"]): Prisma.Sql {
  return Prisma.sql`${roles.map((role) => role.toLowerCase())}::text[]::"Role"[]`;
}
