import type { Scope } from "../db/scope.ts";
import type { Permission } from "../identity/permissions.ts";
import type { Principal } from "../identity/principal.ts";
import type { Human } from "../log/event.ts";
import type { LeaseProof } from "../runs/report.ts";

/** Who sends a request, and in which workspace (section 11). */
export interface Viewer {
  /**
   * The workspace of the request: the caller's own, the one that it named, or the default one of a server without auth.
   * @throws InvalidInputError, when it is read, where there is none: the caller is of the whole deployment and named none.
   */
  readonly workspaceId: string;
  /** The workspaces that row-level security lets the caller see: the one above, or none where there is none. */
  readonly scope: Scope;
  /** The caller's own workspace, or the one that it named; null if neither: a worker then claims jobs of every workspace. */
  readonly chosenWorkspaceId: string | null;
  readonly actor: Human;
  /** What the caller may do in this workspace. */
  readonly permissions: ReadonlySet<Permission>;
  readonly principal: Principal;
}

/** @returns who reports on a run, for its proof: the workspace that the caller is in or named, if any, and its principal. */
export function senderOf({ chosenWorkspaceId, principal }: Viewer): Required<Omit<LeaseProof, "leaseToken">> {
  return { workspaceId: chosenWorkspaceId, principalId: principal.name };
}
