import type { Change } from "@ai-job-server/sdk/client";
import { type QueryKey, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { codeOf } from "./errors.ts";

/** The time in which changes are taken together, in milliseconds: a worker that reports often changes its job often. */
const TOGETHER_MS = 250;

/** What is watched, and what of the page is read again at each change. */
export interface Watch {
  readonly start: (signal: AbortSignal) => AsyncIterable<Change>;
  readonly reads: readonly QueryKey[];
}

/**
 * Reads again what is shown whenever it changes.
 * @param name the same for the same watch; null: nothing is watched.
 */
export function useChanges(name: string | null, watch: Watch): void {
  const queries = useQueryClient();
  const latest = useRef(watch);
  latest.current = watch;
  useEffect(() => {
    if (name === null) return;
    const stop = new AbortController();
    const { signal } = stop;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = () => {
      timer = undefined;
      for (const queryKey of latest.current.reads) void queries.invalidateQueries({ queryKey });
    };
    const follow = async () => {
      for await (const { kind } of latest.current.start(signal))
        if (kind === "EVENT") timer ??= setTimeout(read, TOGETHER_MS);
    };
    void (async () => {
      while (!signal.aborted) {
        try {
          return await follow();
        } catch (error) {
          // The place in the log is of another one: what there is now is read, and watched.
          if (signal.aborted || codeOf(error) !== "CURSOR_EXPIRED") return;
          read();
        }
      }
    })();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [queries, name]);
}
