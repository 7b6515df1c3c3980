import type { Actor } from "../log/event.ts";

/** Who asks, and for which workspace (section 11). */
export interface Viewer {
  readonly workspaceId: string;
  /** The workspace where the caller named one; a worker that names none serves every workspace. */
  readonly chosenWorkspaceId: string | null;
  readonly actor: Actor;
}
