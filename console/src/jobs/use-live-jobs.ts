import { AiJobs } from "@ai-job-server/sdk/client";
import { useCallback, useEffect, useReducer, useRef, useState } from "react";
import { codeOf } from "../api/errors.ts";
import { useClient } from "../api/session.ts";
import { takeEarlyList } from "../early.ts";
import { type JobsQuery, listVariables, queryKeyOf } from "./filter.ts";
import { type ListView, LiveList } from "./live-list.ts";

/** How often the list is drawn at most, in milliseconds: at fifty changes a second, one by one would be too often. */
const DRAW_MS = 200;

export interface LiveJobs extends ListView {
  readonly isLoading: boolean;
  readonly error: unknown;
  readonly hasMore: boolean;
  /** Reads the next page. */
  loadMore(): void;
  /** Brings the list up to date now. */
  settle(): void;
  /** Reads the list again from its beginning. */
  reload(): void;
}

const EMPTY: ListView = { jobs: [], gone: new Set(), waiting: 0 };

/**
 * A list of jobs, live.
 * @param isHeld whether the list stays where it is, because somebody points at it or has scrolled: new jobs then wait.
 * @param isPaused whether it stays as it is.
 */
export function useLiveJobs({ filter, order }: JobsQuery, isHeld: () => boolean, isPaused: boolean): LiveJobs {
  const client = useClient();
  const key = queryKeyOf({ filter, order });
  const [generation, reload] = useReducer((count: number) => count + 1, 0);
  const [view, setView] = useState<ListView>(EMPTY);
  const [isLoading, setIsLoading] = useState(true);
  const [error, setError] = useState<unknown>(null);
  const [hasMore, setHasMore] = useState(false);
  const latest = useRef({ filter, order, isHeld, isPaused });
  latest.current = { filter, order, isHeld, isPaused };
  const list = useRef(new LiveList(true));
  const next = useRef<string | null>(null);
  const more = useRef<Promise<void> | null>(null);
  const draw = useCallback(() => setView(list.current.view), []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the key says what the list is of.
  useEffect(() => {
    const stop = new AbortController();
    const { signal } = stop;
    const asked = latest.current;
    const current = new LiveList(asked.order === "newest");
    list.current = current;
    next.current = null;
    more.current = null;
    setIsLoading(true);
    setError(null);
    let isDrawn = true;
    const timer = setInterval(() => {
      if (isDrawn || latest.current.isPaused) return;
      isDrawn = true;
      if (!latest.current.isHeld()) {
        current.settle();
        if (current.isFull) return reload();
      }
      draw();
    }, DRAW_MS);
    void (async () => {
      try {
        const ask = () => client.request(AiJobs, listVariables(asked), { signal });
        // What was asked for early may have been refused, before somebody signed in.
        const { aiJobs } = await (takeEarlyList(client, key)?.catch(ask) ?? ask());
        current.append(aiJobs.nodes);
        next.current = aiJobs.pageInfo.endCursor;
        setHasMore(aiJobs.pageInfo.hasNextPage);
        setIsLoading(false);
        draw();
        for await (const change of client.watchJobs(asked.filter, { after: aiJobs.feedCursor, signal })) {
          current.take(change);
          isDrawn = false;
        }
      } catch (failure) {
        if (signal.aborted) return;
        // The place in the log is too old, or of another log: the list is read again from its beginning.
        if (codeOf(failure) === "CURSOR_EXPIRED") return reload();
        setIsLoading(false);
        setError(failure);
      }
    })();
    return () => {
      stop.abort();
      clearInterval(timer);
    };
  }, [client, key, generation]);

  const loadMore = useCallback(() => {
    const current = list.current;
    if (more.current || next.current === null) return;
    const after = next.current;
    more.current = client
      .request(AiJobs, { ...listVariables(latest.current), after })
      .then(({ aiJobs }) => {
        if (list.current !== current) return;
        current.append(aiJobs.nodes);
        next.current = aiJobs.pageInfo.endCursor;
        setHasMore(aiJobs.pageInfo.hasNextPage);
        draw();
      })
      .catch(setError)
      .finally(() => {
        if (list.current === current) more.current = null;
      });
  }, [client, draw]);

  const settle = useCallback(() => {
    list.current.settle();
    draw();
  }, [draw]);

  return { ...view, isLoading, error, hasMore, loadMore, settle, reload };
}
