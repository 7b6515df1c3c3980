/** How far a run is: one of the two at least. */
export interface Progress {
  /** From 0 to 1. */
  readonly fraction?: number;
  /** Up to 200 characters. */
  readonly message?: string;
}

/** @returns progress as it is sent; null where there is nothing to say. */
export function progressOf(fraction: number | null, message?: string): Progress | null {
  const text = message?.slice(0, 200).toWellFormed().replaceAll("\0", "");
  const progress = {
    ...(Number.isFinite(fraction) && fraction !== null ? { fraction: Math.min(Math.max(fraction, 0), 1) } : {}),
    ...(text ? { message: text } : {}),
  };
  return Object.keys(progress).length === 0 ? null : progress;
}
