import type { AppError } from "../../errors.ts";
import type { Viewer } from "../viewer.ts";

/** A right that was granted, and that may end while the subscription goes on. */
export interface WatchRight {
  /**
   * Calls back when the right, or the token that proved it, has ended; at once where it has ended already.
   * @returns what ends the waiting.
   */
  onEnd(tell: (reason: AppError) => void): () => void;
}

/**
 * Decides, at subscribe, whether somebody may watch a job, or all jobs of the workspace.
 * @throws AppError where they may not; a promise may reject with it.
 */
export type WatchPermission = (viewer: Viewer, jobId: string | undefined) => WatchRight | Promise<WatchRight>;

/** Until identities exist (section 11). */
export const anyoneMayWatch: WatchPermission = () => ({ onEnd: () => () => undefined });
