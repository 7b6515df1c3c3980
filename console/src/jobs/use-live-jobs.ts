import { AiJobs } from "@ai-job-server/sdk/client";
import { useCallback, useEffect, useReducer, useRef, useState } from "react";
import { onReconnection } from "../api/connection.ts";
import { codeOf, isTransientError } from "../api/errors.ts";
import { useClient } from "../api/session.ts";
import { takeEarlyList } from "../early.ts";
import { type JobsQuery, listVariables, queryKeyOf } from "./filter.ts";
import { type ListView, LiveList } from "./live-list.ts";

/** How often the list is drawn at most, in milliseconds: at fifty changes a second, one by one would be too often. */
const DRAW_MS = 200;

export interface LiveJobs extends ListView {
  readonly isLoading: boolean;
  /** Whether it has been read; until then it is empty, and nobody knows what belongs into it. */
  readonly isRead: boolean;
  readonly error: unknown;
  readonly hasMore: boolean;
  /** Reads the next page. */
  loadMore(): void;
  /** Brings the list up to date now. */
  settle(): void;
  /** Reads the list again from its beginning. */
  reload(): void;
}

/** What is shown, and of which list: that of another filter is never shown as this one's. */
interface Drawn {
  readonly key: string | null;
  readonly view: ListView;
}

/** What could not be read: the list, or its next page. */
interface Unread {
  readonly part: "list" | "page";
  readonly error: unknown;
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
  const [drawn, setDrawn] = useState<Drawn>({ key: null, view: EMPTY });
  const [isLoading, setIsLoading] = useState(true);
  const [unread, setUnread] = useState<Unread | null>(null);
  const [hasMore, setHasMore] = useState(false);
  const latest = useRef({ filter, order, isHeld, isPaused });
  latest.current = { filter, order, isHeld, isPaused };
  const list = useRef(new LiveList(true));
  const next = useRef<string | null>(null);
  const more = useRef<Promise<void> | null>(null);
  const draw = useCallback(() => setDrawn({ key, view: list.current.view }), [key]);

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
    setUnread(null);
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
        if (signal.aborted) return;
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
        setUnread({ part: "list", error: failure });
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
        setUnread(null);
        draw();
      })
      .catch((error: unknown) => {
        if (list.current === current) setUnread({ part: "page", error });
      })
      .finally(() => {
        if (list.current === current) more.current = null;
      });
  }, [client, draw]);

  // What was read of a list stays: where its next page is missing, that alone is read again.
  const readAgain = unread?.part === "page" ? loadMore : reload;
  useEffect(() => (isTransientError(unread?.error) ? onReconnection(readAgain) : undefined), [unread, readAgain]);

  const settle = useCallback(() => {
    list.current.settle();
    draw();
  }, [draw]);

  const isRead = drawn.key === key;
  const view = isRead ? drawn.view : EMPTY;
  return {
    ...view,
    isLoading,
    isRead,
    error: unread?.error ?? null,
    hasMore: isRead && hasMore,
    loadMore,
    settle,
    reload: readAgain,
  };
}
