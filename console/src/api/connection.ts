import { useSyncExternalStore } from "react";
import { readBuild } from "./build.ts";

/**
 * Whether what is shown is live, for all views together: there is one stream. It is not as soon as the stream breaks off or the server leaves
 * anything unanswered, and it is again once the stream goes on and the server has answered a look. A stream alone does not tell: a view that is
 * left takes its own away, and that is no sign of a server.
 */

export interface ConnectionState {
  readonly isConnected: boolean;
  /** When it broke off, in milliseconds since 1970; null while it is there. */
  readonly brokenAt: number | null;
}

/** How often the page looks whether a server that was away answers again, in milliseconds. */
const LOOK_MS = 1000;
/** How long a look may take, in milliseconds. */
const ANSWER_MS = 10_000;

const CONNECTED: ConnectionState = { isConnected: true, brokenAt: null };
let state = CONNECTED;
let isStreaming = true;
const listeners = new Set<() => void>();

/** To be told by the client of the kit. */
export function setConnected(isConnected: boolean): void {
  isStreaming = isConnected;
  if (!isConnected) doubtConnection();
}

/** To be called where the server has left something unanswered: nothing is taken to be live until it answers a look. */
export function doubtConnection(): void {
  if (!state.isConnected) return;
  change({ isConnected: false, brokenAt: Date.now() });
  setTimeout(() => void look(), LOOK_MS);
}

/** @returns whether the server answers. */
export async function isAnswering(): Promise<boolean> {
  return readBuild(AbortSignal.timeout(ANSWER_MS)).then(
    () => true,
    () => false,
  );
}

async function look(): Promise<void> {
  if ((await isAnswering()) && isStreaming) change(CONNECTED);
  else setTimeout(() => void look(), LOOK_MS);
}

function change(to: ConnectionState): void {
  state = to;
  for (const listener of listeners) listener();
}

/** @returns whether what is shown is live. */
export function useConnection(): ConnectionState {
  return useSyncExternalStore(onConnection, () => state);
}

/** Calls back whenever the server answers again, until the returned function is called. */
export function onReconnection(back: () => void): () => void {
  return onConnection(() => {
    if (state.isConnected) back();
  });
}

/** Calls back at each change, until the returned function is called. */
function onConnection(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
