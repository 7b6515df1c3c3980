import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { JobChildren, type JobChildrenQuery } from "../api/generated.ts";
import { useClient, useSession } from "../api/session.ts";
import { useChanges } from "../api/use-changes.ts";
import { Button } from "../ui/button.tsx";
import { Failure } from "../ui/failure.tsx";
import { kindWord } from "../ui/kind.ts";
import { money, whole } from "../ui/numbers.ts";
import { ShortId } from "../ui/short-id.tsx";
import { State } from "../ui/state.tsx";
import { Ago } from "../ui/time.tsx";
import { Waiting } from "../ui/waiting.tsx";
import type { WholeJob } from "./use-job-view.ts";

/** The jobs that this one has submitted, as a tree: each opens to show its own. */
export function Children({ job: { jobId, children } }: { readonly job: WholeJob }) {
  if (children.totalCount === 0) return null;
  return (
    <section className="card" aria-labelledby="children">
      <h2 id="children" tabIndex={-1}>
        Jobs that it has submitted: {whole(children.totalCount)}
      </h2>
      <Level jobId={jobId} />
    </section>
  );
}

/** The children of one job, live. */
function Level({ jobId }: { readonly jobId: string }) {
  const client = useClient();
  const { data, error, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: ["children", jobId],
    queryFn: async ({ pageParam, signal }) =>
      (await client.request(JobChildren, { jobId, after: pageParam }, { signal })).aiJob?.children ?? NONE,
    initialPageParam: NONE.pageInfo.endCursor,
    getNextPageParam: ({ pageInfo }) => (pageInfo.hasNextPage ? pageInfo.endCursor : undefined),
  });
  useChanges(jobId, {
    start: (signal) => client.watchJobs({ parentJobId: jobId }, { signal }),
    reads: [["children", jobId]],
  });
  if (error) return <Failure error={error} />;
  if (!data) return <Waiting what="The list of children" />;
  return (
    <ul className="tree">
      {data.pages.flatMap(({ nodes }) => nodes.map((child) => <Branch key={child.jobId} child={child} />))}
      {hasNextPage && (
        <li>
          <Button isDisabled={isFetchingNextPage} onPress={() => void fetchNextPage()}>
            More
          </Button>
        </li>
      )}
    </ul>
  );
}

type Page = NonNullable<JobChildrenQuery["aiJob"]>["children"];

const NONE: Page = {
  pageInfo: { hasNextPage: false, hasPreviousPage: false, startCursor: null, endCursor: null },
  nodes: [],
};

/** A job in the tree, and what is below it once it is opened. */
function Branch({ child }: { readonly child: Page["nodes"][number] }) {
  const { currency } = useSession().viewer;
  const [isOpen, setIsOpen] = useState(false);
  const { jobId, jobKind, protocolId, state, statusReason, costMicros, createdAt, children } = child;
  return (
    <li>
      <div className="bar">
        <State state={state} />
        <Link href={`/jobs/${jobId}`}>{kindWord(jobKind)}</Link>
        <ShortId id={jobId} />
        <bdi className="quiet">{protocolId}</bdi>
        <span dir="auto">{statusReason}</span>
        <span>{money(costMicros, currency)}</span>
        <Ago at={createdAt} />
        {children.totalCount > 0 && (
          <Button look="plain" aria-expanded={isOpen} onPress={() => setIsOpen(!isOpen)}>
            {whole(children.totalCount)} below it
          </Button>
        )}
      </div>
      {isOpen && <Level jobId={jobId} />}
    </li>
  );
}
