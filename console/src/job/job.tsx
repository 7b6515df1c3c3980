import { lazy, Suspense } from "react";
import { Link } from "wouter";
import { JobView } from "../api/generated.ts";
import { useMay, useSession } from "../api/session.ts";
import { lastList } from "../jobs/last-list.ts";
import { Copy } from "../ui/copy.tsx";
import { Empty } from "../ui/empty.tsx";
import { Failure, Forbidden } from "../ui/failure.tsx";
import { Json } from "../ui/json.tsx";
import { kindWord } from "../ui/kind.ts";
import { percent } from "../ui/numbers.ts";
import { OperationLink } from "../ui/operation-link.tsx";
import { State } from "../ui/state.tsx";
import { ToJobs } from "../ui/to-jobs.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { Actions } from "./actions.tsx";
import { Children } from "./children.tsx";
import { Cost } from "./cost.tsx";
import { reasonText } from "./event-text.ts";
import { Facts } from "./facts.tsx";
import { Output } from "./output.tsx";
import { whyCancelled } from "./record.ts";
import { Runs } from "./runs.tsx";
import { Story } from "./story.tsx";
import { useEvents } from "./use-events.ts";
import { useJobView } from "./use-job-view.ts";
import { Verified } from "./verified.tsx";
import { Violations } from "./violations.tsx";
import { WaitsForPerson } from "./waits-for-person.tsx";

/** Drawn by a library that most visits to the page can wait for. */
const MetricsChart = lazy(() => import("./metrics-chart.tsx"));
const ModelChart = lazy(() => import("./model-chart.tsx"));

/** One job: what it is doing, what it was allowed to do, what it cost, and what happened to it. */
export default function Job({ jobId }: { readonly jobId: string }) {
  const mayRead = useMay("JOBS_READ");
  const { currency } = useSession().viewer;
  const { data: job, error, refetch } = useJobView(jobId);
  const { data: record } = useEvents(jobId);
  if (!mayRead) return <Forbidden why="Your key does not allow you to read jobs (JOBS_READ)." />;
  // What was read before stays where the server does not answer for a while.
  if (error && job === undefined) return <Failure error={error} retry={() => void refetch()} />;
  if (job === undefined) return <Waiting what="The job" />;
  if (job === null)
    return (
      <Empty>
        There is no job {jobId}, or it is of a workspace that you cannot see. <ToJobs />
      </Empty>
    );
  const events = record?.events;
  const why = job.errorMessage ?? (job.state === "CANCELLED" ? whyCancelled(events ?? []) : job.issues.join("; "));
  return (
    <>
      <nav aria-label="Way back" className="quiet">
        <Link href={lastList()}>Jobs</Link>
        {job.parentJob && (
          <>
            {" / "}
            <Link href={`/jobs/${job.parentJob.jobId}`}>{kindWord(job.parentJob.jobKind)}</Link>
          </>
        )}
      </nav>
      <div className="title">
        <h1>
          {kindWord(job.jobKind)} <bdi className="quiet">{job.protocolId}</bdi>
        </h1>
        <State state={job.state} />
        <Verified events={events} version={job.version} />
      </div>
      <p className="bar">
        <code>{job.jobId}</code> <Copy text={job.jobId} what="id" />
        <OperationLink operation={JobView} variables={{ jobId }} />
      </p>
      <p dir="auto">
        {reasonText(job.statusReason)}
        {why && `: ${why}`}
      </p>
      {job.progress && job.state === "RUNNING" && (
        <div className="bar" aria-live="off">
          {job.progress.fraction !== null && (
            <>
              <progress value={job.progress.fraction} aria-label="Progress" /> {percent(job.progress.fraction)}
            </>
          )}
          <span dir="auto">{job.progress.message}</span>
        </div>
      )}
      <Actions job={job} events={events} />
      <Violations events={events} job={job} />
      <WaitsForPerson job={job} />
      <Output job={job} />
      <div className="columns">
        <section className="card" aria-labelledby="story">
          <h2 id="story">What happened</h2>
          <Story events={events} open={job.userInputRequest} />
        </section>
        <section className="card" aria-labelledby="facts">
          <h2 id="facts">What it is</h2>
          <Facts job={job} />
        </section>
      </div>
      <section className="card" aria-labelledby="runs">
        <h2 id="runs">Runs and steps</h2>
        <Runs job={job} />
      </section>
      <section className="card" aria-labelledby="cost">
        <h2 id="cost">What it used</h2>
        <Cost job={job} currency={currency} />
        {job.modelUsage.length > 0 && (
          <Suspense fallback={<Waiting what="The chart by model" />}>
            <ModelChart job={job} currency={currency} />
          </Suspense>
        )}
        {events && job.metrics.tokensPlanner + job.metrics.tokensExecutor > 0 && (
          <Suspense fallback={<Waiting what="The chart" />}>
            <MetricsChart events={events} />
          </Suspense>
        )}
      </section>
      <div className="columns">
        <section className="card" aria-labelledby="inputs">
          <h2 id="inputs">Inputs</h2>
          <Json value={job.jobInputs} what="inputs" />
        </section>
        <section className="card" aria-labelledby="outputs">
          <h2 id="outputs">Outputs</h2>
          <Json value={job.jobOutputs} what="outputs" />
          {job.issues.length > 0 && (
            <>
              <h3 id="issues">Issues</h3>
              <ul aria-labelledby="issues">
                {job.issues.map((issue) => (
                  <li key={issue} dir="auto">
                    {issue}
                  </li>
                ))}
              </ul>
            </>
          )}
        </section>
      </div>
      <Children job={job} />
    </>
  );
}
