import type { JobClient } from "@ai-job-server/sdk/client";
import { createContext, useContext } from "react";
import type { ConsoleViewerQuery, Permission } from "./generated.ts";
import { addressOf } from "./place.ts";

/** Who uses the page, and what it may do. */
export interface Session {
  readonly client: JobClient;
  readonly viewer: ConsoleViewerQuery["viewer"];
  /** Lets another person in. */
  signOut(): void;
  /** Goes to another workspace; null: to the list of them. */
  chooseWorkspace(workspaceId: string | null): void;
}

export const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error("Nobody has signed in above this component.");
  return session;
}

/** @returns the kit's client, as the person who has signed in. */
export function useClient(): JobClient {
  return useSession().client;
}

/** Whether the person may do something; what it may not do is not shown. */
export function useMay(permission: Permission): boolean {
  return useSession().viewer.permissions.includes(permission);
}

/**
 * Exchanges a key for a cookie that no script can read (section 11); the key is kept nowhere.
 * @returns why it was refused; null if it was not.
 */
export async function beginSession(key: string): Promise<string | null> {
  const headers = { authorization: `Bearer ${key}` };
  const response = await fetch(addressOf("session"), { method: "POST", headers }).catch(() => null);
  if (response?.ok) return null;
  if (response === null) return "The server did not answer.";
  if (response.status === 401)
    return "The server knows no such key, or it has expired or was revoked. Ask the person who gave it to you.";
  if (response.status === 429) return "That was tried too often. Wait a minute.";
  return `The server refused it (HTTP ${response.status}).`;
}

export async function endSession(): Promise<void> {
  await fetch(addressOf("session"), { method: "DELETE" }).catch(() => undefined);
}
