import { AiJobs } from "@ai-job-server/sdk/client";
import { useEffect, useRef, useState } from "react";
import { ListBox, ListBoxItem } from "react-aria-components";
import { Link, useSearchParams } from "wouter";
import { useMay } from "../api/session.ts";
import { Empty } from "../ui/empty.tsx";
import { Failure, Forbidden } from "../ui/failure.tsx";
import { kindWord } from "../ui/kind.ts";
import { OperationLink } from "../ui/operation-link.tsx";
import { ShortId } from "../ui/short-id.tsx";
import { State } from "../ui/state.tsx";
import { Ago } from "../ui/time.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { Decision } from "./decision.tsx";
import { INBOX, useInbox } from "./use-inbox.ts";

/** What waits for a person: questions, reviews and validations, the longest first. The arrow keys go through the list. */
export default function Inbox() {
  const mayRead = useMay("JOBS_READ");
  const mayDecide = useMay("REVIEWS_DECIDE");
  const { data, error, refetch } = useInbox();
  const [params, setParams] = useSearchParams();
  const wanted = params.get("job");
  const jobs = data?.jobs ?? [];
  const chosen = wanted ?? jobs[0]?.jobId;
  // Who has answered goes on with the next one, at the place where the last one was.
  const place = useRef(0);
  const index = jobs.findIndex(({ jobId }) => jobId === chosen);
  useEffect(() => {
    if (index >= 0) place.current = index;
  }, [index]);
  const choose = (jobId: string | undefined) =>
    setParams(
      (before) => {
        if (jobId === undefined) before.delete("job");
        else before.set("job", jobId);
        return before;
      },
      { replace: true },
    );
  // What has come by itself, after another one.
  const [next, setNext] = useState<string | null>(null);
  const [done, setDone] = useState<{ readonly jobId: string; readonly what: string } | null>(null);
  const goOn = (what?: string) => {
    setDone(what !== undefined && chosen !== undefined ? { jobId: chosen, what } : null);
    const following = jobs.filter(({ jobId }) => jobId !== chosen)[Math.min(place.current, jobs.length - 2)]?.jobId;
    setNext(following ?? null);
    choose(following);
  };
  if (!mayRead) return <Forbidden why="Your key does not allow you to read jobs (JOBS_READ)." />;
  return (
    <>
      <div className="title">
        <h1>Inbox</h1>
        <OperationLink operation={AiJobs} variables={INBOX} />
      </div>
      {/* Always one line, whatever it says: a press that follows another one must not meet what has moved. */}
      <p role="status" className="quiet inbox-line">
        {done ? (
          <>
            Just now: <Link href={`/jobs/${done.jobId}`}>{done.what}</Link>
          </>
        ) : (
          jobs.length > 1 && "The longest wait first"
        )}
      </p>
      {!mayDecide && (
        <Forbidden why="You see what is asked; to answer, a key needs the role REVIEWER (REVIEWS_DECIDE)." />
      )}
      {error && <Failure error={error} retry={() => void refetch()} />}
      {!data && !error && <Waiting what="The inbox" />}
      {data && jobs.length === 0 && !wanted && <Empty>Nothing waits for you.</Empty>}
      <div className="inbox">
        {jobs.length > 0 && (
          <ListBox
            aria-label="What waits, the longest first"
            className="card inbox-list"
            items={jobs}
            selectionMode="single"
            selectionBehavior="replace"
            disallowEmptySelection
            selectedKeys={chosen ? [chosen] : []}
            onSelectionChange={(keys) => {
              const [first] = keys === "all" ? [] : [...keys];
              if (first !== undefined) choose(String(first));
            }}
          >
            {(job) => (
              <ListBoxItem
                id={job.jobId}
                textValue={job.userInputRequest?.question ?? kindWord(job.jobKind)}
                className="inbox-item"
              >
                <State state={job.state} />
                <span dir="auto">{job.userInputRequest?.question ?? whatWaits(job.waitsFor)}</span>
                <span className="quiet">
                  {kindWord(job.jobKind)} <bdi>{job.protocolId}</bdi> <ShortId id={job.jobId} />, asked{" "}
                  <Ago at={job.updatedAt} />
                  {job.userInputRequest?.expiresAt && (
                    <>
                      , ends <Ago at={job.userInputRequest.expiresAt} />
                    </>
                  )}
                </span>
              </ListBoxItem>
            )}
          </ListBox>
        )}
        {data?.hasMore && <p className="quiet">The 100 that wait longest; the next come when these are answered.</p>}
        {chosen && (
          <Decision key={chosen} jobId={chosen} mayDecide={mayDecide} isNext={chosen === next} onDecided={goOn} />
        )}
      </div>
    </>
  );
}

function whatWaits(waitsFor: string | null): string {
  return waitsFor === "USER_REVIEW" ? "Are its outputs good?" : "Are its outputs valid?";
}
