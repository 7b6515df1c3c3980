import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { codeOf } from "../api/errors.ts";
import { JobView, type JobViewQuery } from "../api/generated.ts";
import { useClient } from "../api/session.ts";

export type WholeJob = NonNullable<JobViewQuery["aiJob"]>;

/** The time in which changes of a job are taken together, in milliseconds: a worker that reports often changes it often. */
const TOGETHER_MS = 250;

/** A job with all that its page shows, read again whenever it changes. */
export function useJobView(jobId: string) {
  const client = useClient();
  const queries = useQueryClient();
  const query = useQuery({
    queryKey: ["job", jobId],
    queryFn: async ({ signal }) => (await client.request(JobView, { jobId }, { signal })).aiJob,
    placeholderData: keepPreviousData,
  });
  const exists = query.data != null;
  useEffect(() => {
    if (!exists) return;
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = () => {
      timer = undefined;
      void queries.invalidateQueries({ queryKey: ["job", jobId] });
      void queries.invalidateQueries({ queryKey: ["events", jobId] });
    };
    void (async () => {
      while (!stop.signal.aborted) {
        try {
          for await (const { kind } of client.watchJob(jobId, { signal: stop.signal }))
            if (kind === "EVENT") timer ??= setTimeout(read, TOGETHER_MS);
          return;
        } catch (error) {
          // The place in the log is of another one: what there is now is read, and watched.
          if (stop.signal.aborted || codeOf(error) !== "CURSOR_EXPIRED") return;
          read();
        }
      }
    })();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [client, queries, jobId, exists]);
  return query;
}
