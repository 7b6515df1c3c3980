import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { JobView, type JobViewQuery } from "../api/generated.ts";
import { useClient } from "../api/session.ts";
import { useChanges } from "../api/use-changes.ts";

export type WholeJob = NonNullable<JobViewQuery["aiJob"]>;

/** A job with all that its page shows, read again whenever it changes. */
export function useJobView(jobId: string) {
  const client = useClient();
  const query = useQuery({
    queryKey: ["job", jobId],
    queryFn: async ({ signal }) => (await client.request(JobView, { jobId }, { signal })).aiJob,
    placeholderData: keepPreviousData,
  });
  useChanges(query.data ? jobId : null, {
    start: (signal) => client.watchJob(jobId, { signal }),
    reads: [
      ["job", jobId],
      ["events", jobId],
      ["model-usage", jobId],
    ],
  });
  return query;
}
