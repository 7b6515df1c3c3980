import type { JobKind, RecorderEventType } from "./generated/client/enums.ts";
import type { JobSummary } from "./job-columns.ts";

/** A version of a job that was committed, next to the one before. */
export interface CommittedVersion {
  readonly before: JobSummary;
  readonly after: JobSummary;
  readonly eventType: RecorderEventType;
}

/** A step that has ended, in a report that was committed. */
export interface EndedStep {
  readonly jobKind: JobKind;
  readonly outcome: "succeeded" | "failed";
  readonly milliseconds: number;
}

/** Who counts what this server commits (src/metrics). It is told after the commit, and must not throw. */
export interface CommitObserver {
  versionCommitted(version: CommittedVersion): void;
  stepEnded(step: EndedStep): void;
}
