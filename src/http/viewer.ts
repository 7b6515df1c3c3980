import { ForbiddenError, InvalidInputError } from "../errors.ts";
import type { Viewer } from "../graphql/viewer.ts";
import { ANONYMOUS, type Principal } from "../identity/principal.ts";
import { asUuid } from "../uuid.ts";

/** The workspace of requests that name none, on a server without auth (section 11); a migration creates it. */
const DEFAULT_WORKSPACE = "00000000-0000-7000-8000-000000000000";

/** The header, and the key in a WebSocket's connection parameters, that names another workspace. */
export const WORKSPACE_HEADER = "x-workspace-id";

/**
 * Makes the viewer of a request: who calls, in which workspace.
 *
 * - A principal of one workspace is in it, and the header may only repeat that.
 * - One of the whole deployment picks a workspace by the header. Without it there is none, but on a server without auth, which has a
 *   default.
 * @param workspaceId the value that the client sent in `x-workspace-id`, if any.
 * @throws InvalidInputError if the value is not a UUID; ForbiddenError if the principal is in another workspace.
 */
export function viewerOf(workspaceId: string | null | undefined, principal: Principal = ANONYMOUS): Viewer {
  const chosen = workspaceId == null ? null : asUuid(workspaceId);
  if (chosen === undefined) throw new InvalidInputError([WORKSPACE_HEADER], `${WORKSPACE_HEADER} must be a UUID.`);
  if (principal.workspaceId !== null && chosen !== null && chosen !== principal.workspaceId)
    throw new ForbiddenError(`You are in another workspace than ${WORKSPACE_HEADER} names. Leave the header out.`);
  const own = principal.workspaceId ?? chosen;
  const fallback = principal === ANONYMOUS ? DEFAULT_WORKSPACE : null;
  return {
    get workspaceId() {
      const id = own ?? fallback;
      if (id !== null) return id;
      throw new InvalidInputError([WORKSPACE_HEADER], `Name a workspace by the header ${WORKSPACE_HEADER}.`);
    },
    chosenWorkspaceId: own,
    actor: { actor: "HUMAN", actorId: principal.name },
    permissions: principal.permissions,
    principal,
  };
}
