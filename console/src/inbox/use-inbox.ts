import { AiJobs, type Job } from "@ai-job-server/sdk/client";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useClient } from "../api/session.ts";
import { useChanges } from "../api/use-changes.ts";

/** The jobs that wait for a person. */
export const WAITING = { states: ["AWAITING_USER" as const, "AWAITING_VALIDATION" as const] };

/** What the list is asked for by: those that wait longest. */
export const INBOX = { first: 100, filter: WAITING, orderBy: { field: "UPDATED_AT", direction: "ASC" } } as const;

export interface Inbox {
  readonly jobs: readonly Job[];
  readonly hasMore: boolean;
}

/** The jobs that wait for a person, the longest first, live. */
export function useInbox() {
  const client = useClient();
  useChanges("inbox", {
    start: (signal) => client.watchJobs(WAITING, { signal }),
    reads: [["inbox"], ["inbox-count"]],
  });
  return useQuery({
    queryKey: ["inbox"],
    queryFn: async ({ signal }): Promise<Inbox> => {
      const { aiJobs } = await client.request(AiJobs, INBOX, { signal });
      return { jobs: aiJobs.nodes, hasMore: aiJobs.pageInfo.hasNextPage };
    },
    placeholderData: keepPreviousData,
  });
}
