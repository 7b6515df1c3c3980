import { z } from "zod";
import { JobKind, Role } from "../db/generated/client/enums.ts";
import type { CreateApiKey, RevokeApiKey, RotateApiKey } from "../identity/keys.ts";
import type { CreateWorkspace } from "../identity/workspaces.ts";

/** What the commands about keys and workspaces ask, and both ways of asking: over HTTP (`http.ts`) and of the database (`direct.ts`). */

const time = z.iso.datetime();

/** A workspace as commands show it: the fields of the API's type. */
export const workspaceView = z.object({
  workspaceId: z.string(),
  name: z.string(),
  createdAt: time,
  /** How many days the jobs of an ended tree are kept; null: they are kept. */
  retentionDays: z.number().nullable(),
});
export type WorkspaceView = z.infer<typeof workspaceView>;

/** A key as commands show it: the fields of the API's type. Times are in RFC 3339. */
export const apiKeyView = z.object({
  apiKeyId: z.string(),
  name: z.string(),
  prefix: z.string(),
  lastFour: z.string(),
  /** Null for a key of the whole deployment. */
  workspace: workspaceView.pick({ workspaceId: true, name: true }).nullable(),
  roles: z.array(z.enum(Role)),
  /** Null for all. */
  jobKinds: z.array(z.enum(JobKind)).nullable(),
  createdAt: time,
  createdBy: z.string(),
  expiresAt: time.nullable(),
  revokedAt: time.nullable(),
  lastUsedAt: time.nullable(),
  overlapUntil: time.nullable(),
});
export type ApiKeyView = z.infer<typeof apiKeyView>;

/** A key with its secret, which is shown this once. */
export const keyWithSecretView = z.object({ apiKey: apiKeyView, secret: z.string() });
export type KeyWithSecretView = z.infer<typeof keyWithSecretView>;

/** A key to make: of the workspace that the command names, or of the whole deployment. */
export interface NewKey extends Omit<CreateApiKey, "workspaceId"> {
  readonly allWorkspaces: boolean;
}

/** Every method throws CommandError or AppError, whose message says why it was not done. */
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

/** A command could not be done; the message is one sentence that says why, and what to do. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}
