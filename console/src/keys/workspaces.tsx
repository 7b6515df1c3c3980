import { type WorkspaceFragment, Workspaces as WorkspacesList } from "@ai-job-server/sdk/client";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useSession } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { Failure } from "../ui/failure.tsx";
import { lengthText } from "../ui/length.ts";
import { Scrolls } from "../ui/scrolls.tsx";
import { Ago } from "../ui/time.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { WorkspaceDialog } from "./workspace-dialog.tsx";

const PAGE = 100;
const FIRST: string | undefined = undefined;
const DAY_S = 86_400;

/** All workspaces of the deployment. */
export function Workspaces() {
  const { client, viewer } = useSession();
  /** The one to change; null for a new one, undefined for none. */
  const [asked, setAsked] = useState<WorkspaceFragment | null>();
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: ["workspaces", "pages"],
    queryFn: async ({ signal, pageParam }) => {
      const after = pageParam === undefined ? {} : { after: pageParam };
      return (await client.request(WorkspacesList, { first: PAGE, ...after }, { signal })).workspaces;
    },
    initialPageParam: FIRST,
    getNextPageParam: ({ pageInfo }) => (pageInfo.hasNextPage ? (pageInfo.endCursor ?? undefined) : undefined),
  });
  const found = data?.pages.flatMap(({ nodes }) => nodes) ?? [];
  return (
    <section className="card" aria-labelledby="workspaces">
      <div className="title">
        <h2 id="workspaces">Workspaces</h2>
        <Button onPress={() => setAsked(null)}>Make a workspace…</Button>
      </div>
      {error && <Failure error={error} retry={() => void refetch()} />}
      {!data && !error && <Waiting what="The list of workspaces" />}
      {data && found.length === 0 && <Empty command="workspaces create NAME">There is none yet. This makes one:</Empty>}
      {found.length > 0 && (
        <Scrolls label="The list of workspaces">
          <table>
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">Id</th>
                <th scope="col">Made</th>
                <th scope="col">Ended jobs are kept</th>
                <th scope="col">Usage labels</th>
                <td />
              </tr>
            </thead>
            <tbody>
              {found.map((workspace) => {
                const { workspaceId, name, createdAt, retentionDays, usageLabels } = workspace;
                return (
                  <tr key={workspaceId}>
                    <th scope="row">
                      <bdi>{name}</bdi>
                      {workspaceId === viewer.workspace?.workspaceId && <span className="quiet"> (this one)</span>}
                    </th>
                    <td>
                      <code>{workspaceId}</code>
                    </td>
                    <td>
                      <Ago at={createdAt} />
                    </td>
                    <td>{retentionDays === null ? "for ever" : lengthText(retentionDays * DAY_S)}</td>
                    <td>{usageLabels.join(", ")}</td>
                    <td>
                      <Button look="plain" aria-label={`Change ${name}`} onPress={() => setAsked(workspace)}>
                        Change…
                      </Button>
                    </td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </Scrolls>
      )}
      {hasNextPage && (
        <Button isDisabled={isFetchingNextPage} onPress={() => void fetchNextPage()}>
          More workspaces
        </Button>
      )}
      {asked !== undefined && <WorkspaceDialog workspace={asked} onClose={() => setAsked(undefined)} />}
    </section>
  );
}
