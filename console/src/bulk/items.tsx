import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { BulkActionItems } from "../api/generated.ts";
import { useClient } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { Failure } from "../ui/failure.tsx";
import { Tick } from "../ui/fields.tsx";
import { kindWord } from "../ui/kind.ts";
import { State } from "../ui/state.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { LOOK_MS } from "./progress.tsx";

const PAGE = 100;
const FIRST: string | undefined = undefined;

/** Each job of an action, and why it was left as it is. */
export function Items({ id }: { readonly id: string }) {
  const client = useClient();
  const [onlyFailed, setOnlyFailed] = useState(false);
  const { data, error, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: ["bulk-action", id, onlyFailed],
    queryFn: async ({ signal, pageParam }) => {
      const after = pageParam === undefined ? {} : { after: pageParam };
      const { node } = await client.request(BulkActionItems, { id, onlyFailed, first: PAGE, ...after }, { signal });
      return node && "items" in node ? node : null;
    },
    initialPageParam: FIRST,
    getNextPageParam: (page) =>
      page?.items.pageInfo.hasNextPage ? (page.items.pageInfo.endCursor ?? undefined) : undefined,
    // All pages that somebody has opened are read each time, so many of them seldom; none once the action has finished.
    refetchInterval: ({ state: { data: read } }) =>
      read?.pages[0]?.finishedAt ? false : LOOK_MS * (read?.pages.length ?? 1),
  });
  const items = data?.pages.flatMap((page) => page?.items.nodes ?? []) ?? [];
  return (
    <section className="card" aria-label="Its jobs">
      <Tick isSelected={onlyFailed} onChange={setOnlyFailed}>
        Only what was not done
      </Tick>
      {error && <Failure error={error} />}
      {!data && !error && <Waiting what="The list of its jobs" />}
      {data && items.length === 0 && <p className="quiet">None.</p>}
      <ul className="preview">
        {items.map(({ jobId, job, finishedAt, error: why }) => (
          <li key={jobId}>
            {job && (
              <>
                <State state={job.state} /> {kindWord(job.jobKind)} <bdi className="quiet">{job.protocolId}</bdi>{" "}
              </>
            )}
            <Link href={`/jobs/${jobId}`}>
              <code>{jobId}</code>
            </Link>{" "}
            <span className="quiet">{why ? `${why.code}: ${why.message}` : finishedAt ? "done" : "waits"}</span>
          </li>
        ))}
      </ul>
      {hasNextPage && (
        <Button isDisabled={isFetchingNextPage} onPress={() => void fetchNextPage()}>
          More jobs
        </Button>
      )}
    </section>
  );
}
