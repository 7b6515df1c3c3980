import { Link } from "wouter";
import type { WholeJob } from "./use-job-view.ts";

/** Says that a person is asked, and leads to where it can answer. */
export function WaitsForPerson({ job }: { readonly job: WholeJob }) {
  const isAsked = job.state === "AWAITING_USER" || job.state === "AWAITING_VALIDATION";
  if (!isAsked) return null;
  return (
    <p className="banner">
      {job.userInputRequest ? (
        <>
          It asks: <bdi>{job.userInputRequest.question}</bdi>{" "}
        </>
      ) : job.state === "AWAITING_USER" ? (
        "Somebody has to decide on its outputs. "
      ) : (
        "Its outputs wait for a validator. "
      )}
      <Link href={`/inbox?job=${job.jobId}`}>Answer in the inbox</Link>
    </p>
  );
}
