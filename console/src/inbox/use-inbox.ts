import { AiJobs, type Job } from "@ai-job-server/sdk/client";
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { codeOf } from "../api/errors.ts";
import { useClient } from "../api/session.ts";

const TOGETHER_MS = 250;
/** How many are read; those that wait longest. */
const PAGE = 100;

const WAITING = { states: ["AWAITING_USER" as const, "AWAITING_VALIDATION" as const] };

export interface Inbox {
  readonly jobs: readonly Job[];
  readonly hasMore: boolean;
}

/** The jobs that wait for a person, the longest first, live. */
export function useInbox() {
  const client = useClient();
  const queries = useQueryClient();
  const query = useQuery({
    queryKey: ["inbox"],
    queryFn: async ({ signal }): Promise<Inbox> => {
      const orderBy = { field: "UPDATED_AT", direction: "ASC" } as const;
      const { aiJobs } = await client.request(AiJobs, { first: PAGE, filter: WAITING, orderBy }, { signal });
      return { jobs: aiJobs.nodes, hasMore: aiJobs.pageInfo.hasNextPage };
    },
    placeholderData: keepPreviousData,
  });
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = () => {
      timer = undefined;
      void queries.invalidateQueries({ queryKey: ["inbox"] });
      void queries.invalidateQueries({ queryKey: ["inbox-count"] });
    };
    void (async () => {
      while (!stop.signal.aborted) {
        try {
          for await (const { kind } of client.watchJobs(WAITING, { signal: stop.signal }))
            if (kind === "EVENT") timer ??= setTimeout(read, TOGETHER_MS);
          return;
        } catch (error) {
          if (stop.signal.aborted || codeOf(error) !== "CURSOR_EXPIRED") return;
          read();
        }
      }
    })();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [client, queries]);
  return query;
}
