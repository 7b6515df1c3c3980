import { InvalidInputError } from "../errors.ts";
import type { Viewer } from "../graphql/viewer.ts";
import { asUuid } from "../uuid.ts";

/** The one workspace that there is until identities exist (section 11); a migration makes it. */
const DEFAULT_WORKSPACE = "00000000-0000-7000-8000-000000000000";

/** The header, and the key of a WebSocket's connection parameters, that picks another workspace. */
export const WORKSPACE_HEADER = "x-workspace-id";

/**
 * Who asks. There are no identities yet: everybody is `anonymous` (section 11).
 * @param workspaceId what the caller sent, if anything.
 * @throws InvalidInputError where it is no UUID.
 */
export function viewerOf(workspaceId: string | null | undefined): Viewer {
  const id = asUuid(workspaceId ?? DEFAULT_WORKSPACE);
  if (id === undefined) throw new InvalidInputError([WORKSPACE_HEADER], `${WORKSPACE_HEADER} must be a UUID.`);
  return {
    workspaceId: id,
    chosenWorkspaceId: workspaceId == null ? null : id,
    actor: { actor: "HUMAN", actorId: "anonymous" },
  };
}
