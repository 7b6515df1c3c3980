import type { Permission } from "../identity/permissions.ts";
import type { Principal } from "../identity/principal.ts";
import type { Actor } from "../log/event.ts";

/** Who sends a request, and in which workspace (section 11). */
export interface Viewer {
  /**
   * The workspace of the request: the caller's own, the one that it named, or the default one of a server without auth.
   * @throws InvalidInputError, when it is read, where there is none: the caller is of the whole deployment and named none.
   */
  readonly workspaceId: string;
  /** The caller's own workspace, or the one that it named; null if neither: a worker then claims jobs of every workspace. */
  readonly chosenWorkspaceId: string | null;
  readonly actor: Actor;
  /** What the caller may do in this workspace. */
  readonly permissions: ReadonlySet<Permission>;
  readonly principal: Principal;
}
