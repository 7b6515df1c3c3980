import { createClient, type JobClient } from "@ai-job-server/sdk/client";
import { setConnected } from "./connection.ts";
import { addressOf } from "./place.ts";

/** Where the chosen workspace is kept, as long as the browser's tab is there. */
const WORKSPACE_KEY = "ai-job-server.workspace";

export function chosenWorkspace(): string | null {
  return sessionStorage.getItem(WORKSPACE_KEY);
}

export function keepWorkspace(workspaceId: string | null): void {
  if (workspaceId === null) sessionStorage.removeItem(WORKSPACE_KEY);
  else sessionStorage.setItem(WORKSPACE_KEY, workspaceId);
}

/** @returns the kit's client, in a workspace; as whom it asks, a cookie says. */
export function clientIn(workspaceId: string | null): JobClient {
  const url = addressOf("graphql");
  return createClient({ url, onConnection: setConnected, ...(workspaceId === null ? {} : { workspaceId }) });
}
