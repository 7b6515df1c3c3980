import { type AiJobFilter, AiJobStats, AiJobs, type BulkActionKind } from "@ai-job-server/sdk/client";
import { useQuery } from "@tanstack/react-query";
import { useClient } from "../api/session.ts";
import { kindWord } from "../ui/kind.ts";
import { whole } from "../ui/numbers.ts";
import { State } from "../ui/state.tsx";
import { At } from "../ui/time.tsx";

/** How many of the jobs are shown. */
const SHOWN = 20;

/** Which jobs an action would be on: how many, and the oldest of them. */
export function usePreview(kind: BulkActionKind, filter: AiJobFilter) {
  const client = useClient();
  const isNone = filter.states?.length === 0;
  const { data, error, refetch } = useQuery({
    queryKey: ["bulk-preview", kind, filter],
    queryFn: async ({ signal }) => {
      const orderBy = { field: "CREATED_AT", direction: "ASC" } as const;
      const [{ aiJobStats }, { aiJobs }] = await Promise.all([
        client.request(AiJobStats, { filter }, { signal }),
        client.request(AiJobs, { first: SHOWN, filter, orderBy }, { signal }),
      ]);
      return { total: aiJobStats.total, jobs: aiJobs.nodes };
    },
    enabled: !isNone,
    staleTime: Number.POSITIVE_INFINITY,
  });
  return { preview: isNone ? { total: 0, jobs: [] } : data, error, refetch };
}

export type Preview = NonNullable<ReturnType<typeof usePreview>["preview"]>;

const NOTHING = {
  CANCEL: "None of what is shown can be cancelled: all of it has ended.",
  RETRY: "None of what is shown can be retried: nothing has failed or stalled.",
} as const satisfies Record<BulkActionKind, string>;

const ABOUT = {
  CANCEL: "Only jobs that have not ended can be cancelled.",
  RETRY:
    "Only jobs that have failed or stalled can be retried. If a worker said that another attempt would fail in the same way, " +
    "the job's page says so.",
} as const satisfies Record<BulkActionKind, string>;

export interface BulkPreviewProps {
  readonly kind: BulkActionKind;
  readonly preview: Preview;
  /** What is submitted from then on is not touched. */
  readonly before: string;
}

export function BulkPreview({ kind, preview: { total, jobs }, before }: BulkPreviewProps) {
  return (
    <>
      <p>
        <strong>{whole(total)}</strong> {total === 1 ? "job" : "jobs"}, submitted before <At at={before} />.
      </p>
      {total === 0 ? <p>{NOTHING[kind]}</p> : <p className="quiet">{ABOUT[kind]}</p>}
      <ul className="preview">
        {jobs.map(({ jobId, jobKind, protocolId, state }) => (
          <li key={jobId}>
            <State state={state} /> {kindWord(jobKind)} <bdi className="quiet">{protocolId}</bdi> <code>{jobId}</code>
          </li>
        ))}
        {total > jobs.length && <li className="quiet">and {whole(total - jobs.length)} more, oldest first</li>}
      </ul>
    </>
  );
}
