import type { BulkActionFragment } from "@ai-job-server/sdk/client";
import { whole } from "../ui/numbers.ts";

/** How often an action that goes on is looked at, in milliseconds. */
export const LOOK_MS = 2000;

/** What says how far an action is. */
export type Counts = Pick<BulkActionFragment, "total" | "succeeded" | "failed" | "finishedAt">;

/** How far an action is. */
export function Progress({ of: { total, succeeded, failed, finishedAt } }: { readonly of: Counts }) {
  if (finishedAt !== null) return <>Finished</>;
  const done = succeeded + failed;
  return <progress value={done} max={total} aria-label={`${whole(done)} of ${whole(total)}`} />;
}
