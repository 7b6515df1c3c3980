import type { AppError } from "../../errors.ts";
import type { Viewer } from "../viewer.ts";

/** A right to watch that was granted, and that may end while the subscription is open. */
export interface WatchRight {
  /**
   * Registers a callback for the end of the right or of the token that proved it. It is called at once if that has
   * ended.
   * @returns a function that removes the callback.
   */
  onEnd(callback: (reason: AppError) => void): () => void;
}

/**
 * Decides, when a subscription begins, whether a viewer may watch a job, or (`jobId` undefined) all jobs of the
 * workspace.
 * @throws AppError where the viewer may not; a promise may be rejected with it.
 */
export type WatchPermission = (viewer: Viewer, jobId: string | undefined) => WatchRight | Promise<WatchRight>;
