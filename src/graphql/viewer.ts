import type { Permission } from "../identity/permissions.ts";
import type { Actor } from "../log/event.ts";

/** Who sends a request, and in which workspace (section 11). */
export interface Viewer {
  /** The workspace of the request: the one that the caller named, or the default workspace. */
  readonly workspaceId: string;
  /** The workspace that the caller named; null if none: a worker then claims jobs of every workspace. */
  readonly chosenWorkspaceId: string | null;
  readonly actor: Actor;
  /** What the caller may do in this workspace. */
  readonly permissions: ReadonlySet<Permission>;
}
