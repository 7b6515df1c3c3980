import { AiJobs } from "@ai-job-server/sdk/client";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { Link, useSearchParams } from "wouter";
import { useMay } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { Failure, Forbidden } from "../ui/failure.tsx";
import { whole } from "../ui/numbers.ts";
import { OperationLink } from "../ui/operation-link.tsx";
import { useNow } from "../ui/time.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { ActOnAll } from "./act-on-all.tsx";
import { Counts } from "./counts.tsx";
import { listVariables, readQuery, SEARCHED } from "./filter.ts";
import { FilterBar } from "./filter-bar.tsx";
import { JobTable } from "./job-table.tsx";
import { rememberList } from "./last-list.ts";
import { useLiveJobs } from "./use-live-jobs.ts";

const FINDS =
  "A search finds the whole id of a job or a trace, an idempotency key, a label as key=value, and the exact name of a protocol. " +
  "The end of an id, such as …adc50748, finds only jobs in the list: clear the conditions first.";

/** All jobs, live: what is going on, and what can be done about many at once. */
export default function Jobs() {
  const mayRead = useMay("JOBS_READ");
  const maySubmit = useMay("JOBS_SUBMIT");
  const [params] = useSearchParams();
  // What is today changes at midnight.
  const day = new Date(useNow()).toDateString();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the day says what a period by its name is.
  const query = useMemo(() => readQuery(params), [params, day]);
  const [isPaused, setIsPaused] = useState(false);
  const held = useRef({ isPointedAt: false, isScrolled: false, hasFocus: false });
  const isHeld = useCallback(() => Object.values(held.current).some(Boolean), []);
  const { jobs, gone, waiting, isLoading, isRead, error, hasMore, loadMore, settle, reload } = useLiveJobs(
    query,
    isHeld,
    isPaused,
  );
  useEffect(() => rememberList(params), [params]);
  const isSearched = SEARCHED.some((name) => params.has(name));
  const isFiltered = Object.keys(query.filter).length > 0;

  if (!mayRead) return <Forbidden why="Your key does not allow you to read jobs (JOBS_READ)." />;
  return (
    <>
      <div className="title">
        <h1>Jobs</h1>
        {waiting > 0 && !isPaused && (
          <Button look="primary" onPress={settle}>
            {whole(waiting)} changed: update the list
          </Button>
        )}
        <Button onPress={() => setIsPaused(!isPaused)}>{isPaused ? "Resume updates" : "Pause updates"}</Button>
        <ActOnAll filter={query.filter} isDisabled={!isRead} />
        <OperationLink operation={AiJobs} variables={listVariables(query)} />
        {maySubmit && (
          <Link href="/submit" className="button">
            Submit a job
          </Link>
        )}
      </div>
      <Counts filter={query.filter} />
      <FilterBar query={query} jobs={jobs} />
      {error !== null && <Failure error={error} retry={reload} />}
      {(isLoading || !isRead) && jobs.length === 0 && error === null && <Waiting what="The list" />}
      {isRead && !isLoading && jobs.length === 0 && error === null && (
        <Empty {...(isSearched ? { hint: FINDS } : {})} {...(isFiltered ? {} : { command: "seed" })}>
          {isFiltered
            ? "No job matches all of these conditions."
            : "There is no job yet. This fills the database with some to look at:"}
        </Empty>
      )}
      {jobs.length > 0 && <JobTable jobs={jobs} gone={gone} hasMore={hasMore} onEnd={loadMore} held={held.current} />}
    </>
  );
}
