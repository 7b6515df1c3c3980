import type { JobKind, Role } from "../db/generated/client/enums.ts";
import { ALL_PERMISSIONS, type Permission } from "./permissions.ts";

/** Who calls (section 11): an API key, the operator, or everybody on a server without auth. */
export interface Principal {
  /** Its name in events and logs: `key:<id>`, `operator` or `anonymous`. */
  readonly name: string;
  /** The one workspace that it is in; null for a principal of the whole deployment. */
  readonly workspaceId: string | null;
  readonly roles: readonly Role[];
  readonly permissions: ReadonlySet<Permission>;
  /** The kinds of jobs that it may submit and claim; null for all. */
  readonly jobKinds: readonly JobKind[] | null;
  /** When it ends by itself; null if it does not. */
  readonly expiresAt: Date | null;
  /** The API key that it is; null if it is none. */
  readonly apiKeyId: string | null;
}

const OF_DEPLOYMENT = {
  workspaceId: null,
  roles: ["ADMIN"],
  permissions: ALL_PERMISSIONS,
  jobKinds: null,
  expiresAt: null,
  apiKeyId: null,
} as const;

/** Everybody, on a server without auth. */
export const ANONYMOUS: Principal = { name: "anonymous", ...OF_DEPLOYMENT };
