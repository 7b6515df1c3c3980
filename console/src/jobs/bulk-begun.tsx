import type { BulkActionFragment, BulkActionKind } from "@ai-job-server/sdk/client";
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { BulkActionProgress } from "../api/generated.ts";
import { useClient } from "../api/session.ts";
import { type Counts, LOOK_MS, Progress } from "../bulk/progress.tsx";
import { Button } from "../ui/button.tsx";
import { Failure } from "../ui/failure.tsx";
import { whole } from "../ui/numbers.ts";

export interface BulkBegunProps {
  readonly action: BulkActionFragment;
  readonly onClose: () => void;
}

const DONE = { CANCEL: "cancelled", RETRY: "queued again" } as const satisfies Record<BulkActionKind, string>;

/** An action that the server has taken: how far it is, which is the server's to finish, whoever looks. */
export function BulkBegun({ action, onClose }: BulkBegunProps) {
  const client = useClient();
  const { data, error } = useQuery<Counts>({
    queryKey: ["bulk-action-progress", action.id],
    queryFn: async ({ signal }) => {
      const { node } = await client.request(BulkActionProgress, { id: action.id }, { signal });
      if (!node || !("total" in node)) return action;
      const { total, succeeded, failed, finishedAt } = node;
      return { total, succeeded, failed, finishedAt };
    },
    initialData: action,
    refetchInterval: ({ state }) => (state.data?.finishedAt ? false : LOOK_MS),
  });
  const { total, succeeded, failed } = data;
  return (
    <>
      <p>
        The server has taken {whole(total)} {total === 1 ? "job" : "jobs"}.
        {data.finishedAt === null && " It goes on, even if this page is closed or the server restarts."}
      </p>
      <p role="status">
        <Progress of={data} />: {whole(succeeded)} {DONE[action.kind]}
        {failed > 0 && `, ${whole(failed)} not`}
      </p>
      {error && <Failure error={error} />}
      <div className="bar">
        <Link href={`/bulk?action=${encodeURIComponent(action.id)}`} className="button button-primary">
          See what becomes of each
        </Link>
        <Button onPress={onClose}>Close</Button>
      </div>
    </>
  );
}
