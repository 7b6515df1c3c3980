import type { ApiKeyView, WorkspaceView } from "./backend.ts";

/** How commands show what they got to people. */

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

function table(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(inOneLine));
  const widths = cells[0]?.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0))) ?? [];
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** A name is somebody else's text: it must not move the cursor, nor turn the direction of writing. */
function inOneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, "\ufffd");
}
