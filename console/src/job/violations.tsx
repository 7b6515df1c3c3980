import { AiJobStats, type EventFragment } from "@ai-job-server/sdk/client";
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { useClient } from "../api/session.ts";
import { whole } from "../ui/numbers.ts";
import { textIn } from "../ui/payload.ts";
import { exact } from "../ui/time.tsx";
import type { WholeJob } from "./use-job-view.ts";

const WHAT = {
  prompt_injection: "Text that tries to give the model orders",
  cloud_leakage: "Sensitive text on its way to a model in the cloud",
  export: "Text that must not leave, on its way out",
  sensitivity: "Text that is more sensitive than the job may read",
  unknown_sensitivity: "Text of which nobody has said how sensitive it is",
} as const;

/** What the guards found: what, where, which guard, and what can be done now. */
export function Violations({
  events = [],
  job,
}: {
  readonly events?: readonly EventFragment[] | undefined;
  readonly job: WholeJob;
}) {
  const found = events.filter(({ type }) => type === "SECURITY_VIOLATION");
  if (found.length === 0) return null;
  const isPoisoned = job.state === "POISONED";
  return (
    <section className="violation" aria-labelledby="violation">
      <h2 id="violation">{isPoisoned ? "Poisoned, for good" : "A guard has found something"}</h2>
      {found.map((event) => (
        <Violation key={event.eventId} event={event} />
      ))}
      {isPoisoned && <StoppedWithIt job={job} />}
      <p>
        <WhatNow job={job} origin={found.map(({ payload }) => textIn(payload, "source_job_id")).find(Boolean)} />
      </p>
    </section>
  );
}

/** @param origin the job that reads the text, where that is another one of the tree. */
function WhatNow({ job, origin }: { readonly job: WholeJob; readonly origin: string | undefined }) {
  if (job.state !== "POISONED")
    return <>It was recorded; under the job's safety mode ({job.safetyMode.toLowerCase()}) the job goes on.</>;
  if (origin !== undefined)
    return (
      <>
        It was poisoned because a job above it was: the text is in what <Link href={`/jobs/${origin}`}>that job</Link>{" "}
        reads. That job's page says what can be done. This one cannot be started again.
      </>
    );
  return (
    <>
      All that ran for it was stopped, and nothing can start it again. Look at the source, take the text out of it, and
      then <Link href={`/submit?from=${job.jobId}`}>submit another like it</Link>. If the finding is wrong, the guard's
      name above is what to report.
    </>
  );
}

/** How many others were stopped, and where they are: the tree stands far below. */
function StoppedWithIt({ job: { jobId, version, parentJob, children } }: { readonly job: WholeJob }) {
  const client = useClient();
  const hasChildren = children.totalCount > 0;
  // Of a whole tree the server counts all; of a part of one, the jobs right below.
  const filter = parentJob ? { parentJobId: jobId } : { rootJobId: jobId };
  const { data } = useQuery({
    queryKey: ["stopped", jobId, version],
    queryFn: async ({ signal }) => {
      const variables = { filter: { ...filter, states: ["POISONED" as const] } };
      return (await client.request(AiJobStats, variables, { signal })).aiJobStats.total;
    },
    enabled: hasChildren,
  });
  if (!hasChildren || data === undefined) return null;
  const others = parentJob ? data : data - 1;
  if (others < 1) return null;
  return (
    <p>
      {whole(others)} {others === 1 ? "job" : "jobs"} {parentJob ? "right below it" : "below it"}{" "}
      {others === 1 ? "was" : "were"} stopped with it: <a href={`${window.location.pathname}#children`}>see them</a>.
    </p>
  );
}

function Violation({ event: { payload, recordedAt, actorId } }: { readonly event: EventFragment }) {
  const type = textIn(payload, "violation_type");
  const origin = textIn(payload, "source_job_id");
  const what = Object.entries(WHAT).find(([name]) => name === type)?.[1] ?? type;
  return (
    <dl className="facts">
      <dt>What</dt>
      <dd dir="auto">
        {what}: {textIn(payload, "description")}
      </dd>
      <dt>Source</dt>
      <dd dir="auto">
        {origin ? (
          <>
            in another job of its tree: <Link href={`/jobs/${origin}`}>{origin}</Link>
          </>
        ) : (
          (textIn(payload, "source_id") ?? "a source without a name")
        )}
      </dd>
      <dt>Found by</dt>
      <dd>
        {textIn(payload, "guard_name")}, as <code>{textIn(payload, "trigger")}</code>{" "}
        <span className="quiet">({textIn(payload, "ace_code")})</span>
      </dd>
      <dt>When</dt>
      <dd>
        {exact(recordedAt)}, reported by <bdi>{actorId}</bdi>
      </dd>
    </dl>
  );
}
