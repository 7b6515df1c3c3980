import type { ApiKeyFragment, WorkspaceFragment } from "@ai-job-server/sdk/client";
import type { CreateApiKey, RevokeApiKey, RotateApiKey } from "../identity/keys.ts";
import type { CreateWorkspace } from "../identity/workspaces.ts";

/** What the commands about keys and workspaces ask, and both ways of asking: over HTTP (`http.ts`) and of the database (`direct.ts`). */

/** A workspace as commands show it: the fields of the API's type. */
export type WorkspaceView = Pick<WorkspaceFragment, "workspaceId" | "name" | "createdAt" | "retentionDays">;

/** A key as commands show it: the fields of the API's type. */
export type ApiKeyView = Omit<ApiKeyFragment, "id">;

/** A key with its secret, which is shown this once. */
export interface KeyWithSecretView {
  readonly apiKey: ApiKeyView;
  readonly secret: string;
}

/** A key to make: of the workspace that the command names, or of the whole deployment. */
export interface NewKey extends Omit<CreateApiKey, "workspaceId"> {
  readonly allWorkspaces: boolean;
}

/** Every method throws an error whose message says why it was not done. */
export interface Backend {
  createKey(key: NewKey): Promise<KeyWithSecretView>;
  /** Lists all keys that the caller may see, newest first. */
  listKeys(): Promise<readonly ApiKeyView[]>;
  rotateKey(which: RotateApiKey): Promise<KeyWithSecretView>;
  revokeKey(which: RevokeApiKey): Promise<readonly ApiKeyView[]>;
  createWorkspace(workspace: CreateWorkspace): Promise<WorkspaceView>;
  /** Lists all workspaces, newest first where the server gave the ids. */
  listWorkspaces(): Promise<readonly WorkspaceView[]>;
  close(): Promise<void>;
}

/** Rows of a page; lists are read to their end by as many pages as it takes. */
export const PAGE_ROWS = 100;
