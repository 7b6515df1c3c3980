import { setTimeout as setPause } from "node:timers/promises";
import { print } from "graphql";
import { createClient } from "graphql-sse";
import { hasEnded } from "../../src/jobs/state.ts";
import type { DemoChangesSubscription, DemoChangesSubscriptionVariables } from "../../test/generated/graphql.ts";
import { type Api, credentialOf } from "../client.ts";
import { JobChanges } from "./operations.ts";

export type Change = DemoChangesSubscription["aiJobsChanged"];

/** After how many milliseconds without a change the demo gives up. */
const SILENCE_MS = 60_000;

/** Milliseconds before a subscription is begun again that the server ended for now. */
const PAUSE_MS = 200;

/**
 * Every change of the jobs of a protocol after a position in the log, once, in the order of each job's versions. The
 * client reconnects by itself and then starts at the same position again; changes that were seen before are skipped. So it is
 * where the server cannot go on for now: it says TRY_AGAIN.
 */
async function* watch(
  api: Api,
  variables: DemoChangesSubscriptionVariables,
  signal: AbortSignal,
): AsyncGenerator<Change, void> {
  const client = createClient({ url: api.url, headers: credentialOf(api.key) });
  const subscribe = () =>
    client.iterate<DemoChangesSubscription>({ query: print(JobChanges), variables: { ...variables } });
  let changes = subscribe();
  let isOver = signal.aborted;
  const end = () => {
    isOver = true;
    void changes.return?.();
  };
  const silence = setTimeout(end, SILENCE_MS);
  signal.addEventListener("abort", end);
  const seen = new Map<string, number>();
  try {
    for (; !isOver; changes = subscribe()) {
      for await (const { data, errors } of changes) {
        if (errors?.every(({ extensions }) => extensions?.code === "TRY_AGAIN")) break;
        if (errors) throw new Error(errors.map(({ message }) => message).join("\n"));
        if (!data) continue;
        const { aiJobsChanged: change } = data;
        silence.refresh();
        if (change.version <= (seen.get(change.job.jobId) ?? 0)) continue;
        seen.set(change.job.jobId, change.version);
        yield change;
      }
      await setPause(PAUSE_MS);
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
  api: Api,
  variables: DemoChangesSubscriptionVariables,
  { jobs, show, signal }: Watching,
): Promise<ReadonlyMap<string, number>> {
  const versionsSeen = new Map<string, number>();
  const ended = new Set<string>();
  for await (const change of watch(api, variables, signal)) {
    const { jobId } = change.job;
    versionsSeen.set(jobId, (versionsSeen.get(jobId) ?? 0) + 1);
    show(change);
    if (hasEnded(change.state)) ended.add(jobId);
    if (ended.size === jobs) break;
  }
  return versionsSeen;
}
