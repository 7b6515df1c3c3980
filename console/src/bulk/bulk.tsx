import { BulkActions as BulkActionsList } from "@ai-job-server/sdk/client";
import { useQuery } from "@tanstack/react-query";
import { useSearchParams } from "wouter";
import { useClient } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { Failure } from "../ui/failure.tsx";
import { whole } from "../ui/numbers.ts";
import { OperationLink } from "../ui/operation-link.tsx";
import { Ago, exact } from "../ui/time.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { Items } from "./items.tsx";
import { LOOK_MS, Progress } from "./progress.tsx";

/** What was done to many jobs at once, how far it is, and what it could not do. */
export default function BulkActions() {
  const client = useClient();
  const { data, error, refetch } = useQuery({
    queryKey: ["bulk-actions"],
    queryFn: ({ signal }) => client.request(BulkActionsList, { first: 50 }, { signal }),
    refetchInterval: LOOK_MS,
  });
  // In the address, where whoever has begun an action is led to.
  const [params, setParams] = useSearchParams();
  const shownId = params.get("action");
  const actions = data?.bulkActions.nodes ?? [];
  return (
    <>
      <div className="title">
        <h1>Bulk actions</h1>
        <OperationLink operation={BulkActionsList} variables={{ first: 50 }} />
      </div>
      {error && <Failure error={error} retry={() => void refetch()} />}
      {!data && !error && <Waiting what="The list of actions" />}
      {data && actions.length === 0 && <Empty>None yet. Begin one from the list of jobs: “Cancel all…”.</Empty>}
      {actions.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Action</th>
              <th scope="col" className="numeric">
                Jobs
              </th>
              <th scope="col">Begun</th>
              <th scope="col" className="numeric">
                Done
              </th>
              <th scope="col" className="numeric">
                Not done
              </th>
              <th scope="col">Progress</th>
              <th scope="col">Why</th>
              <td />
            </tr>
          </thead>
          <tbody>
            {actions.map(({ id, kind, reason, total, succeeded, failed, createdAt, finishedAt }) => (
              <tr key={id}>
                <td>{kind === "CANCEL" ? "Cancel" : "Retry"}</td>
                <td className="numeric">{whole(total)}</td>
                <td>
                  <Ago at={createdAt} />
                </td>
                <td className="numeric">{whole(succeeded)}</td>
                <td className="numeric">{whole(failed)}</td>
                <td>
                  <Progress of={{ total, succeeded, failed, finishedAt }} />
                </td>
                <td dir="auto">{reason}</td>
                <td>
                  <Button
                    look="plain"
                    aria-label={`Jobs of the action of ${exact(createdAt)}`}
                    aria-expanded={shownId === id}
                    onPress={() => setParams(shownId === id ? {} : { action: id })}
                  >
                    Jobs
                  </Button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {shownId !== null && data && <Items key={shownId} id={shownId} />}
    </>
  );
}
