import { InvalidInputError } from "../errors.ts";
import type { Viewer } from "../graphql/viewer.ts";
import { ALL_PERMISSIONS } from "../identity/permissions.ts";
import { asUuid } from "../uuid.ts";

/** The workspace of requests that name none (section 11); a migration creates it. */
const DEFAULT_WORKSPACE = "00000000-0000-7000-8000-000000000000";

/** The header, and the key in a WebSocket's connection parameters, that names another workspace. */
export const WORKSPACE_HEADER = "x-workspace-id";

/**
 * Makes the viewer of a request. There are no identities yet, so everybody is `anonymous`, with every permission (section 11).
 * @param workspaceId the value that the client sent in `x-workspace-id`, if any.
 * @throws InvalidInputError if the value is not a UUID.
 */
export function viewerOf(workspaceId: string | null | undefined): Viewer {
  const id = asUuid(workspaceId ?? DEFAULT_WORKSPACE);
  if (id === undefined) throw new InvalidInputError([WORKSPACE_HEADER], `${WORKSPACE_HEADER} must be a UUID.`);
  return {
    workspaceId: id,
    chosenWorkspaceId: workspaceId == null ? null : id,
    actor: { actor: "HUMAN", actorId: "anonymous" },
    permissions: ALL_PERMISSIONS,
  };
}
