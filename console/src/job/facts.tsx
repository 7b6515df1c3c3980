import { Link } from "wouter";
import { At } from "../ui/time.tsx";
import { Labels } from "./labels.tsx";
import type { WholeJob } from "./use-job-view.ts";

/** What a job was submitted as, and what it may do. */
export function Facts({ job }: { readonly job: WholeJob }) {
  return (
    <dl className="facts">
      <dt>Allowed to</dt>
      <dd>
        {ACCESS[job.accessMode]}; {job.safetyMode.toLowerCase()} safety; models: {job.modelTier.toLowerCase()}
      </dd>
      <dt>Capabilities</dt>
      <dd>{job.capabilityProfileId}</dd>
      <dt>Runs</dt>
      <dd>
        {job.attempt} (at most {job.maxAttempts} that fail)
      </dd>
      <dt>Priority</dt>
      <dd>{job.priority}</dd>
      <dt>Submitted</dt>
      <dd>
        <At at={job.createdAt} /> by <bdi>{job.submittedBy}</bdi>
      </dd>
      {job.startedAt && (
        <>
          <dt>Started</dt>
          <dd>
            <At at={job.startedAt} />
          </dd>
        </>
      )}
      {job.endedAt && (
        <>
          <dt>Ended</dt>
          <dd>
            <At at={job.endedAt} />
          </dd>
        </>
      )}
      {job.runAfter && (
        <>
          <dt>Not before</dt>
          <dd>
            <At at={job.runAfter} />
          </dd>
        </>
      )}
      {job.idempotencyKey !== null && (
        <>
          <dt>Idempotency key</dt>
          <dd>
            <bdi>{job.idempotencyKey}</bdi>
          </dd>
        </>
      )}
      <dt>Trace</dt>
      <dd>
        <Link href={`/?trace=${job.traceId}`}>
          <code>{job.traceId}</code>
        </Link>
      </dd>
      {job.labels.length > 0 && (
        <>
          <dt>Labels</dt>
          <dd>
            <Labels labels={job.labels} />
          </dd>
        </>
      )}
      {job.entityRefs.length > 0 && (
        <>
          <dt>Entities</dt>
          <dd>
            {job.entityRefs.map(({ entityKind, entityId, selector }) => (
              <div key={`${entityKind} ${entityId} ${selector}`} dir="auto">
                {entityKind} {entityId} {selector}
              </div>
            ))}
          </dd>
        </>
      )}
      {job.plannedOperations.length > 0 && (
        <>
          <dt>Plans to</dt>
          <dd>
            {job.plannedOperations.map(({ opType, description, target }) => (
              <div key={`${opType} ${target.entityKind} ${target.entityId} ${description}`} dir="auto">
                {opType.toLowerCase()} {target.entityKind} {target.entityId} {description}
              </div>
            ))}
          </dd>
        </>
      )}
    </dl>
  );
}

const ACCESS = {
  ANALYSIS_ONLY: "read, and write nothing",
  APPLY_SCOPED: "write the entities below",
  PREVIEW_ONLY: "make a preview, and write nothing",
} as const satisfies Record<WholeJob["accessMode"], string>;
