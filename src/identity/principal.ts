import type { JobKind, Role } from "../db/generated/client/enums.ts";
import { allWorkspaces, type Scope } from "../db/scope.ts";
import { ForbiddenError } from "../errors.ts";
import { ALL_PERMISSIONS, type Permission } from "./permissions.ts";

/** Who calls (section 11): an API key, a JWT's subject, the operator, or everybody on a server without auth. */
export interface Principal {
  /** Its name in events and logs: `key:<id>`, `jwt:<sub>`, `operator` or `anonymous`. */
  readonly name: string;
  /** The one workspace that it is in; null for a principal of the whole deployment. */
  readonly workspaceId: string | null;
  readonly roles: readonly Role[];
  readonly permissions: ReadonlySet<Permission>;
  /** The kinds of jobs that it may submit and claim; null for all. */
  readonly jobKinds: readonly JobKind[] | null;
  /** When it ends by itself; null if it does not. */
  readonly expiresAt: Date | null;
  /**
   * The latest end of the API keys that it makes; null for none. It is the end of its credential and not of a browser's session: a key
   * that is made in the console must outlive the session in which it was made.
   */
  readonly keysEndBy: Date | null;
  /** The API key that it is; null if it is none. */
  readonly apiKeyId: string | null;
}

/** @returns why a principal must not submit or claim jobs of a kind; null where it may. */
export function refuseKind({ jobKinds }: Pick<Principal, "jobKinds">, kind: JobKind): ForbiddenError | null {
  if (jobKinds === null || jobKinds.includes(kind)) return null;
  return new ForbiddenError(`You may not submit or claim jobs of the kind ${kind}, only of: ${jobKinds.join(", ")}.`);
}

/** @returns the workspaces whose rows a principal may see and change. */
export function scopeOf({ workspaceId }: Pick<Principal, "workspaceId">): Scope {
  return workspaceId === null ? allWorkspaces("deployment") : [workspaceId];
}

const OF_DEPLOYMENT = {
  workspaceId: null,
  roles: ["ADMIN"],
  permissions: ALL_PERMISSIONS,
  jobKinds: null,
  expiresAt: null,
  keysEndBy: null,
  apiKeyId: null,
} as const;

/** Everybody, on a server without auth. */
export const ANONYMOUS: Principal = { name: "anonymous", ...OF_DEPLOYMENT };

/** Who has the key of the operator, or the database itself. */
export const OPERATOR: Principal = { name: "operator", ...OF_DEPLOYMENT };
