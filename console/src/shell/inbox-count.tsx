import { AiJobStats } from "@ai-job-server/sdk/client";
import { useQuery } from "@tanstack/react-query";
import { useClient } from "../api/session.ts";
import { WAITING } from "../inbox/use-inbox.ts";
import { whole } from "../ui/numbers.ts";

const LOOK_MS = 5000;

/** How many jobs wait for a person. */
export function InboxCount() {
  const client = useClient();
  const { data } = useQuery({
    queryKey: ["inbox-count"],
    queryFn: ({ signal }) => client.request(AiJobStats, { filter: WAITING }, { signal }),
    refetchInterval: LOOK_MS,
  });
  const total = data?.aiJobStats.total ?? 0;
  return total === 0 ? null : <span className="count">{whole(total)}</span>;
}
