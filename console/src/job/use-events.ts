import { AiJobEvents, type EventFragment, type JobClient } from "@ai-job-server/sdk/client";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useClient } from "../api/session.ts";

const PAGE = 100;

interface Events {
  readonly events: readonly EventFragment[];
  readonly endCursor: string | null;
}

/** All events of a job, oldest first; of one that has changed, only those that are new are read. */
export function useEvents(jobId: string) {
  const client = useClient();
  const queries = useQueryClient();
  const queryKey = ["events", jobId];
  return useQuery({
    queryKey,
    queryFn: ({ signal }) => readOn(client, jobId, queries.getQueryData<Events>(queryKey), signal),
  });
}

async function readOn(
  client: JobClient,
  jobId: string,
  known: Events | undefined,
  signal: AbortSignal,
): Promise<Events> {
  let { events, endCursor }: Events = known ?? { events: [], endCursor: null };
  for (;;) {
    const after = endCursor === null ? {} : { after: endCursor };
    const { aiJob } = await client.request(AiJobEvents, { jobId, first: PAGE, ...after }, { signal });
    if (!aiJob) return { events, endCursor };
    const { nodes, pageInfo } = aiJob.events;
    events = [...events, ...nodes];
    endCursor = pageInfo.endCursor ?? endCursor;
    if (!pageInfo.hasNextPage) return { events, endCursor };
  }
}
