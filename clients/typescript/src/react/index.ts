import { createContext, createElement, type ReactNode, useContext, useEffect, useRef, useState } from "react";
import type { AiJobFilter } from "../api/generated.ts";
import type { Change, Job, JobClient } from "../client/client.ts";
import { JobList } from "./job-list.ts";

/** Hooks for React: jobs as they are, live. Each render shows what the server has told last; nothing has to be fetched again. */

const Client = createContext<JobClient | null>(null);

/** Gives the hooks below it their client. */
export function JobClientProvider({
  client,
  children,
}: {
  readonly client: JobClient;
  readonly children?: ReactNode;
}): ReactNode {
  return createElement(Client.Provider, { value: client }, children);
}

/** @returns the client of the nearest provider. */
export function useJobClient(): JobClient {
  const client = useContext(Client);
  if (!client) throw new Error("There is no JobClientProvider above this component.");
  return client;
}

/** What a hook knows: `error` once the watch has ended with one. */
export interface Watched<Value> {
  readonly value: Value;
  readonly error: unknown;
}

/** A job, live; null until the server has told how it is. */
export function useJob(jobId: string): { readonly job: Job | null; readonly error: unknown } {
  const client = useJobClient();
  const { value, error } = useWatch<Change, Job | null>(
    (signal) => client.watchJob(jobId, { signal }),
    () => {
      let job: Job | null = null;
      return ({ job: next }) => {
        // `job` may be newer than its change: an older change that comes later says nothing new.
        if (!job || next.version >= job.version) job = next;
        return job;
      };
    },
    null,
    [client, jobId],
  );
  return { job: value, error };
}

/** The newest jobs that match a filter, live: 100 at most. */
export function useJobs(filter: AiJobFilter = {}): { readonly jobs: readonly Job[]; readonly error: unknown } {
  const client = useJobClient();
  const { value, error } = useWatch<Change, readonly Job[]>(
    (signal) => client.watchJobs(filter, { signal }),
    () => {
      const list = new JobList();
      return (change) => list.take(change);
    },
    NO_JOBS,
    [client, JSON.stringify(filter)],
  );
  return { jobs: value, error };
}

/** What the latest attempt at a job puts out, as it comes. */
export function useJobOutput(jobId: string): {
  readonly text: string;
  readonly isLast: boolean;
  readonly error: unknown;
} {
  const client = useJobClient();
  const { value, error } = useWatch(
    (signal) => client.output(jobId, { signal }),
    () => {
      let attempt = 0;
      let text = "";
      return (chunk) => {
        if (chunk.attempt > attempt) text = "";
        attempt = chunk.attempt;
        text += chunk.text;
        return { text, isLast: chunk.isLast };
      };
    },
    NO_OUTPUT,
    [client, jobId],
  );
  return { ...value, error };
}

const NO_JOBS: readonly Job[] = [];
const NO_OUTPUT = { text: "", isLast: false };

/** Watches while the component is there, and what it depends on stays the same. */
function useWatch<Item, Value>(
  watch: (signal: AbortSignal) => AsyncIterable<Item>,
  reducer: () => (item: Item) => Value,
  initial: Value,
  dependencies: readonly unknown[],
): Watched<Value> {
  const [watched, setWatched] = useState<Watched<Value>>({ value: initial, error: null });
  const latest = useRef({ watch, reducer });
  latest.current = { watch, reducer };
  useEffect(() => {
    const stop = new AbortController();
    setWatched({ value: initial, error: null });
    void (async () => {
      const reduce = latest.current.reducer();
      try {
        for await (const item of latest.current.watch(stop.signal)) {
          if (stop.signal.aborted) return;
          setWatched({ value: reduce(item), error: null });
        }
      } catch (error) {
        if (!stop.signal.aborted) setWatched(({ value }) => ({ value, error }));
      }
    })();
    return () => stop.abort();
  }, dependencies);
  return watched;
}
