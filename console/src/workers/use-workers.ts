import { FlightRecorderEvents, Workers } from "@ai-job-server/sdk/client";
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { RunningRuns, type RunningRunsQuery } from "../api/generated.ts";
import { useClient } from "../api/session.ts";

const LOOK_MS = 2000;
const PAGE = 100;
/** How many of the latest lease losses are shown. */
const LOSSES = 50;

export type RunningRun = RunningRunsQuery["workflowRuns"]["nodes"][number];

interface Page {
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

function nextOf({ pageInfo }: Page): string | undefined {
  return pageInfo.hasNextPage ? (pageInfo.endCursor ?? undefined) : undefined;
}

const FIRST: string | undefined = undefined;

function pageAfter(after: string | undefined) {
  return { first: PAGE, ...(after === undefined ? {} : { after }) };
}

/** The workers that hold jobs, by their ids. */
export function useWorkers() {
  const client = useClient();
  return useInfiniteQuery({
    queryKey: ["workers"],
    queryFn: async ({ signal, pageParam }) => (await client.request(Workers, pageAfter(pageParam), { signal })).workers,
    initialPageParam: FIRST,
    getNextPageParam: nextOf,
    refetchInterval: LOOK_MS,
  });
}

/** What they hold. */
export function useRunningRuns() {
  const client = useClient();
  return useInfiniteQuery({
    queryKey: ["running-runs"],
    queryFn: async ({ signal, pageParam }) =>
      (await client.request(RunningRuns, pageAfter(pageParam), { signal })).workflowRuns,
    initialPageParam: FIRST,
    getNextPageParam: nextOf,
    refetchInterval: LOOK_MS,
  });
}

/** The latest runs that were taken from a worker that was not heard of. */
export function useLeaseLosses() {
  const client = useClient();
  return useQuery({
    queryKey: ["lease-losses"],
    queryFn: async ({ signal }) => {
      const variables = { first: LOSSES, filter: { types: ["WORKFLOW_RECOVERY" as const] } };
      return (await client.request(FlightRecorderEvents, variables, { signal })).flightRecorderEvents.nodes;
    },
    refetchInterval: LOOK_MS,
    placeholderData: keepPreviousData,
  });
}
