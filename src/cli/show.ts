import type { ApiKeyView, WorkspaceView } from "./backend.ts";
import { table } from "./table.ts";

/** How keys and workspaces are shown to people. */

export function showKeys(keys: readonly ApiKeyView[]): string {
  const columns = ["ID", "NAME", "SECRET", "WORKSPACE", "ROLES", "KINDS", "ENDS", "LAST USED"];
  return table([columns, ...keys.map(cellsOfKey)]);
}

function cellsOfKey(key: ApiKeyView): readonly string[] {
  const { apiKeyId, name, prefix, lastFour, workspace, roles, jobKinds, lastUsedAt } = key;
  const place = workspace === null ? "(all)" : workspace.name;
  const kinds = jobKinds?.join(", ") ?? "(all)";
  return [apiKeyId, name, `${prefix}…${lastFour}`, place, roles.join(", "), kinds, endOf(key), lastUsedAt ?? "never"];
}

function endOf({ revokedAt, expiresAt }: ApiKeyView): string {
  if (revokedAt !== null) return `revoked ${revokedAt}`;
  if (expiresAt === null) return "never";
  return Date.parse(expiresAt) > Date.now() ? expiresAt : `ended ${expiresAt}`;
}

export function showWorkspaces(workspaces: readonly WorkspaceView[]): string {
  const rows = workspaces.map(({ workspaceId, name, createdAt, retentionDays }) => [
    workspaceId,
    name,
    createdAt,
    retentionDays === null ? "for ever" : `${retentionDays} days`,
  ]);
  return table([["ID", "NAME", "CREATED", "JOBS KEPT"], ...rows]);
}
