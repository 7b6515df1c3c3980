import { NO_WORKSPACE } from "../db/scope.ts";
import { ForbiddenError, InvalidInputError } from "../errors.ts";
import type { Viewer } from "../graphql/viewer.ts";
import { ANONYMOUS, type Principal } from "../identity/principal.ts";
import { humanFor } from "../log/event.ts";
import { asUuid } from "../uuid.ts";

/** The workspace of requests that name none, on a server without auth (section 11); a migration creates it. */
const DEFAULT_WORKSPACE = "00000000-0000-7000-8000-000000000000";

/** The header, and the key in a WebSocket's connection parameters, that names another workspace. */
export const WORKSPACE_HEADER = "x-workspace-id";

/** The query parameter that means the same in a GET of an event stream: a browser's EventSource sends no headers of a page's. */
export const WORKSPACE_PARAMETER = "workspaceId";

/**
 * @returns the workspace that a request names, by the header or by the query parameter; null where it names none.
 * @throws InvalidInputError where both are there and differ.
 */
export function namedWorkspace({ headers, url }: Request): string | null {
  const byHeader = headers.get(WORKSPACE_HEADER);
  const byParameter = url.includes("?") ? new URL(url).searchParams.get(WORKSPACE_PARAMETER) : null;
  if (byHeader !== null && byParameter !== null && asUuid(byHeader) !== asUuid(byParameter))
    throw new InvalidInputError(
      [WORKSPACE_PARAMETER],
      `${WORKSPACE_HEADER} and ${WORKSPACE_PARAMETER} name different workspaces. Send one of them.`,
    );
  return byHeader ?? byParameter;
}

/**
 * Makes the viewer of a request: who calls, in which workspace.
 *
 * - A principal of one workspace is in it, and the header may only repeat that.
 * - One of the whole deployment picks a workspace by the header. Without it there is none, but on a server without auth, which has a
 *   default.
 * @param workspaceId what the client sent as the workspace's id, if anything.
 * @throws InvalidInputError if the value is not a UUID; ForbiddenError if the principal is in another workspace.
 */
export function viewerOf(workspaceId: string | null | undefined, principal: Principal = ANONYMOUS): Viewer {
  const chosen = workspaceId == null ? null : asUuid(workspaceId);
  if (chosen === undefined) throw new InvalidInputError([WORKSPACE_HEADER], `${WORKSPACE_HEADER} must be a UUID.`);
  if (principal.workspaceId !== null && chosen !== null && chosen !== principal.workspaceId)
    throw new ForbiddenError(`You are in another workspace than ${WORKSPACE_HEADER} names. Leave the header out.`);
  const own = principal.workspaceId ?? chosen;
  const fallback = principal === ANONYMOUS ? DEFAULT_WORKSPACE : null;
  const id = own ?? fallback;
  return {
    get workspaceId() {
      if (id !== null) return id;
      throw new InvalidInputError([WORKSPACE_HEADER], `Name a workspace by the header ${WORKSPACE_HEADER}.`);
    },
    scope: id === null ? NO_WORKSPACE : [id],
    chosenWorkspaceId: own,
    actor: humanFor(principal.name),
    permissions: principal.permissions,
    principal,
  };
}
