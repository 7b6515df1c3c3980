import type { WorkersQuery } from "@ai-job-server/sdk/client";
import { useId } from "react";
import { Link } from "wouter";
import { kindWord } from "../ui/kind.ts";
import { percent, whole } from "../ui/numbers.ts";
import { Scrolls } from "../ui/scrolls.tsx";
import { ShortId } from "../ui/short-id.tsx";
import { exact, relative } from "../ui/time.tsx";
import type { RunningRun } from "./use-workers.ts";

export interface WorkerCardProps {
  readonly worker: WorkersQuery["workers"]["nodes"][number];
  readonly runs: readonly RunningRun[];
  /** Whether there are runs that were not read. */
  readonly hasMore: boolean;
  /** When both were read. */
  readonly now: number;
}

/** One worker, with the jobs that it holds. */
export function WorkerCard({ worker: { workerId, jobKinds, leases, lastHeard }, runs, hasMore, now }: WorkerCardProps) {
  const id = useId();
  const missing = leases - runs.length;
  return (
    <section className="card" aria-labelledby={id}>
      <div className="title">
        <h2 id={id}>
          <bdi>{workerId}</bdi>
        </h2>
        {/* The server counts the leases that have not passed, by its own clock. */}
        {leases === 0 ? (
          <span className="badge badge-bad">✕ Silent for longer than its lease</span>
        ) : (
          <span className="badge badge-good">✓ Works</span>
        )}
        <Link href={`/?worker=${encodeURIComponent(workerId)}`}>Its jobs</Link>
      </div>
      <p className="quiet">
        Last heard of <Time at={lastHeard} now={now} />; {whole(leases)} {leases === 1 ? "lease" : "leases"};{" "}
        {jobKinds.map((kind) => kindWord(kind)).join(", ")}
      </p>
      {runs.length > 0 && <Held runs={runs} now={now} label={`What ${workerId} holds`} />}
      {hasMore && missing > 0 && <p className="quiet">{whole(missing)} more of its jobs are not loaded yet.</p>}
    </section>
  );
}

interface HeldProps {
  readonly runs: readonly RunningRun[];
  readonly now: number;
  readonly label: string;
}

function Held({ runs, now, label }: HeldProps) {
  return (
    <Scrolls label={label}>
      <table>
        <thead>
          <tr>
            <th scope="col">Job</th>
            <th scope="col" className="numeric">
              Attempt
            </th>
            <th scope="col">Since</th>
            <th scope="col">Progress</th>
            <th scope="col">Lease ends</th>
          </tr>
        </thead>
        <tbody>
          {runs.map(({ workflowRunId, attempt, startedAt, leaseExpiresAt, job }) => (
            <tr key={workflowRunId}>
              <th scope="row">
                <Link href={`/jobs/${job.jobId}`}>{kindWord(job.jobKind)}</Link> <ShortId id={job.jobId} />{" "}
                <bdi className="quiet">{job.protocolId}</bdi>
              </th>
              <td className="numeric">{attempt}</td>
              <td>
                <Time at={startedAt} now={now} />
              </td>
              <td>
                <Progress progress={job.progress} />
              </td>
              <td>
                {leaseExpiresAt !== null && (
                  <>
                    <Time at={leaseExpiresAt} now={now} />
                    {Date.parse(leaseExpiresAt) < now && <span className="tone-bad"> passed</span>}
                  </>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scrolls>
  );
}

function Progress({ progress }: Pick<RunningRun["job"], "progress">) {
  if (!progress) return <span className="quiet">none told</span>;
  const { fraction, message } = progress;
  return (
    <>
      {fraction !== null && <progress value={fraction} aria-label={`${percent(fraction)} done`} />}
      <span dir="auto">{message}</span>
    </>
  );
}

/** As of when it was read: what is shown together is of one moment. */
function Time({ at, now }: { readonly at: string; readonly now: number }) {
  return (
    <time dateTime={at} title={exact(at)}>
      {relative(at, now)}
    </time>
  );
}
