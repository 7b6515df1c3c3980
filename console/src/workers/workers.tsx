import { Workers as WorkersOperation } from "@ai-job-server/sdk/client";
import { useMay } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { Failure, Forbidden } from "../ui/failure.tsx";
import { OperationLink } from "../ui/operation-link.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { LeaseLosses } from "./lease-losses.tsx";
import { useRunningRuns, useWorkers } from "./use-workers.ts";
import { WorkerCard } from "./worker-card.tsx";

/** Who works on what, since when, and from whom jobs were taken back. */
export default function Workers() {
  const mayRead = useMay("JOBS_READ");
  if (!mayRead) return <Forbidden why="Your key does not allow you to see who works (JOBS_READ)." />;
  return (
    <>
      <div className="title">
        <h1>Workers</h1>
        <OperationLink operation={WorkersOperation} variables={{ first: 100 }} />
      </div>
      <List />
      <LeaseLosses />
    </>
  );
}

function List() {
  const workers = useWorkers();
  const runs = useRunningRuns();
  const error = workers.error ?? runs.error;
  const retry = () => {
    void workers.refetch();
    void runs.refetch();
  };
  const found = workers.data?.pages.flatMap(({ nodes }) => nodes) ?? [];
  const held = runs.data?.pages.flatMap(({ nodes }) => nodes) ?? [];
  return (
    <>
      {error && <Failure error={error} retry={retry} />}
      {!workers.data && !error && <Waiting what="The list of workers" />}
      {workers.data && found.length === 0 && (
        <Empty command="seed">
          No worker holds a job now. A worker that waits for jobs is not listed. In an empty workspace this shows some
          at work:
        </Empty>
      )}
      {found.map((worker) => (
        <WorkerCard
          key={worker.workerId}
          worker={worker}
          runs={held.filter(({ workerId }) => workerId === worker.workerId)}
          hasMore={runs.hasNextPage}
          now={Math.max(workers.dataUpdatedAt, runs.dataUpdatedAt)}
        />
      ))}
      <div className="bar">
        {workers.hasNextPage && (
          <Button isDisabled={workers.isFetchingNextPage} onPress={() => void workers.fetchNextPage()}>
            More workers
          </Button>
        )}
        {runs.hasNextPage && (
          <Button isDisabled={runs.isFetchingNextPage} onPress={() => void runs.fetchNextPage()}>
            More of their jobs
          </Button>
        )}
      </div>
    </>
  );
}
