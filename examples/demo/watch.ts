import { print } from "graphql";
import { createClient } from "graphql-sse";
import { hasEnded } from "../../src/jobs/state.ts";
import type { DemoChangesSubscription, DemoChangesSubscriptionVariables } from "../../test/generated/graphql.ts";
import { JobChanges } from "./operations.ts";

export type Change = DemoChangesSubscription["aiJobsChanged"];

/** After how many milliseconds without a change the demo gives up. */
const SILENCE_MS = 60_000;

/**
 * Every change of the jobs of a protocol after a position in the log, once, in the order of each job's versions. The
 * client reconnects by itself and then starts at the same position again; changes that were seen before are skipped.
 */
async function* watch(
  url: string,
  variables: DemoChangesSubscriptionVariables,
  signal: AbortSignal,
): AsyncGenerator<Change, void> {
  const client = createClient({ url });
  const changes = client.iterate<DemoChangesSubscription>({ query: print(JobChanges), variables: { ...variables } });
  const end = () => void changes.return?.();
  const silence = setTimeout(end, SILENCE_MS);
  signal.addEventListener("abort", end);
  const seen = new Map<string, number>();
  try {
    for await (const { data, errors } of changes) {
      if (errors) throw new Error(errors.map(({ message }) => message).join("\n"));
      if (!data) continue;
      const { aiJobsChanged: change } = data;
      silence.refresh();
      if (change.version <= (seen.get(change.job.jobId) ?? 0)) continue;
      seen.set(change.job.jobId, change.version);
      yield change;
    }
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", end);
    client.dispose();
  }
}

export interface Watching {
  /** The number of jobs. */
  readonly jobs: number;
  readonly show: (change: Change) => void;
  /** Aborted when there is nothing more to wait for. */
  readonly signal: AbortSignal;
}

/**
 * Shows every change until all jobs have ended.
 * @returns by job, the number of versions that were delivered.
 */
export async function watchToTheEnd(
  url: string,
  variables: DemoChangesSubscriptionVariables,
  { jobs, show, signal }: Watching,
): Promise<ReadonlyMap<string, number>> {
  const versionsSeen = new Map<string, number>();
  const ended = new Set<string>();
  for await (const change of watch(url, variables, signal)) {
    const { jobId } = change.job;
    versionsSeen.set(jobId, (versionsSeen.get(jobId) ?? 0) + 1);
    show(change);
    if (hasEnded(change.state)) ended.add(jobId);
    if (ended.size === jobs) break;
  }
  return versionsSeen;
}
