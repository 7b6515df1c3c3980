import type { EventFragment } from "@ai-job-server/sdk/client";
import { Link } from "wouter";
import { exact } from "../ui/time.tsx";
import { textIn } from "./event-text.ts";
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
      {isPoisoned ? (
        <p>
          All that ran for it was stopped, and nothing can start it again. Look at the source, take the text out of it,
          and then <Link href={`/submit?from=${job.jobId}`}>submit another like it</Link>. If the finding is wrong, the
          guard's name above is what to report.
        </p>
      ) : (
        <p>It was recorded; under the job's safety mode ({job.safetyMode.toLowerCase()}) the job goes on.</p>
      )}
    </section>
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
