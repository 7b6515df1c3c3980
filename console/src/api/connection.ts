import { useSyncExternalStore } from "react";
import { readBuild } from "./build.ts";

/**
 * Whether what is shown is live, for all views together: there is one stream. It is not as soon as the stream breaks off or the server leaves
 * anything unanswered, and it is again once the stream goes on and the server has answered a look. A stream alone does not tell: a view that is
 * left takes its own away, and that is no sign of a server.
 */

/** How often the page looks whether a server that was away answers again, in milliseconds. */
const LOOK_MS = 1000;
/** How long a look may take, in milliseconds. */
const ANSWER_MS = 10_000;

/** Since when nothing is live, in milliseconds since 1970; null while it is. */
let brokenAt: number | null = null;
let isStreaming = true;
const listeners = new Set<() => void>();

/** To be told by the client of the kit. */
export function setConnected(isConnected: boolean): void {
  isStreaming = isConnected;
  if (!isConnected) doubtConnection();
}

/** To be called where the server has left something unanswered: nothing is taken to be live until it answers a look. */
export function doubtConnection(): void {
  if (brokenAt !== null) return;
  change(Date.now());
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
  if ((await isAnswering()) && isStreaming) change(null);
  else setTimeout(() => void look(), LOOK_MS);
}

function change(to: number | null): void {
  brokenAt = to;
  for (const listener of listeners) listener();
}

/** @returns since when what is shown is not live any more, in milliseconds since 1970; null while it is live. */
export function useBrokenAt(): number | null {
  return useSyncExternalStore(onConnection, () => brokenAt);
}

/** Calls back whenever the server answers again, until the returned function is called. */
export function onReconnection(back: () => void): () => void {
  return onConnection(() => {
    if (brokenAt === null) back();
  });
}

/** Calls back at each change, until the returned function is called. */
function onConnection(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
