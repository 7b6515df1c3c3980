import { useSyncExternalStore } from "react";

/** Whether what is shown is live, for all views together: there is one stream. */

export interface ConnectionState {
  readonly isConnected: boolean;
  /** When it broke off, in milliseconds since 1970; null while it is there. */
  readonly brokenAt: number | null;
}

let state: ConnectionState = { isConnected: true, brokenAt: null };
const listeners = new Set<() => void>();

/** To be told by the client of the kit. */
export function setConnected(isConnected: boolean): void {
  if (isConnected === state.isConnected) return;
  state = { isConnected, brokenAt: isConnected ? null : Date.now() };
  for (const listener of listeners) listener();
}

/** @returns whether what is shown is live. */
export function useConnection(): ConnectionState {
  return useSyncExternalStore(onConnection, () => state);
}

/** Calls back at each change, until the returned function is called. */
function onConnection(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
