import { Link } from "wouter";
import type { WholeJob } from "./use-job-view.ts";

/** A job's labels, each of which leads to all jobs that have it. */
export function Labels({ labels }: Pick<WholeJob, "labels">) {
  return labels.map(({ key, value }) => (
    <Link key={key} href={`/?label=${encodeURIComponent(`${key}=${value}`)}`} className="label">
      {key}={value}
    </Link>
  ));
}
