import {
  type Job,
  JobServerError,
  ResolveUserReview,
  ResolveValidation,
  type ReviewDecision,
  successOf,
  type ValidationVerdict,
} from "@ai-job-server/sdk/client";
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { Link } from "wouter";
import { codeOf, messageOf } from "../api/errors.ts";
import { useClient } from "../api/session.ts";
import { type Action, useAction } from "../api/use-action.ts";
import { Labels } from "../job/labels.tsx";
import { Output } from "../job/output.tsx";
import { useEvents } from "../job/use-events.ts";
import { useJobView, type WholeJob } from "../job/use-job-view.ts";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { Failure } from "../ui/failure.tsx";
import { TextInput } from "../ui/fields.tsx";
import { Fold } from "../ui/fold.tsx";
import { Json } from "../ui/json.tsx";
import { kindWord } from "../ui/kind.ts";
import { State } from "../ui/state.tsx";
import { Ago, At } from "../ui/time.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { AnswerForm } from "./answer-form.tsx";
import { whoWasFirst } from "./who-was-first.ts";

/** How long the buttons of the next job do nothing, in milliseconds: the second of two quick presses may be meant for the job before. */
const PRESS_DELAY_MS = 1000;

export interface DecisionProps {
  readonly jobId: string;
  readonly mayDecide: boolean;
  /** Whether it has come after another one by itself, and so under the pointer. */
  readonly isNext: boolean;
  /** Called to go on with the next; with what the person has decided, where it has. */
  readonly onDecided: (what?: string) => void;
}

/** What a job asks of a person, what it is about, and the answer. */
export function Decision({ jobId, mayDecide, isNext, onDecided }: DecisionProps) {
  const { data: job, error } = useJobView(jobId);
  const action = useAction();
  // What is being decided stays as it was until it is: the job's new state is seen a moment before the answer of the server.
  const deciding = useRef<WholeJob>(null);
  const asked = action.isBusy && deciding.current ? deciding.current : job;
  // What was read before stays, with what is typed, where the server does not answer for a while.
  if (error && job === undefined) return <Failure error={error} />;
  if (job === undefined) return <Waiting what="The job" />;
  if (job === null) return <Empty>There is no such job.</Empty>;
  return (
    <section className="card" aria-label="Decision">
      <div className="title">
        <Heading isNext={isNext}>
          <Link href={`/jobs/${jobId}`}>{kindWord(job.jobKind)}</Link> <bdi className="quiet">{job.protocolId}</bdi>
        </Heading>
        <State state={job.state} />
      </div>
      {asked && isAsked(asked) ? (
        <Asked
          job={asked}
          mayDecide={mayDecide}
          isNext={isNext}
          action={action}
          onBegin={() => (deciding.current = asked)}
          onDecided={onDecided}
        />
      ) : (
        <Settled job={job} onNext={() => onDecided()} />
      )}
    </section>
  );
}

/** What is to be decided now: it gets the focus when it has come by itself, so that a screen reader says it and no second Enter answers it. */
function Heading({ isNext, children }: { readonly isNext: boolean; readonly children: ReactNode }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (isNext) heading.current?.focus();
  }, [isNext]);
  return (
    <h2 ref={heading} tabIndex={-1}>
      {children}
    </h2>
  );
}

/** @returns whether the buttons of a job do something: not at once, where it has come by itself, under the pointer. */
function useTakesPresses(isNext: boolean): boolean {
  const [takesPresses, setTakesPresses] = useState(!isNext);
  useEffect(() => {
    if (!isNext) return;
    const timer = setTimeout(() => setTakesPresses(true), PRESS_DELAY_MS);
    return () => clearTimeout(timer);
  }, [isNext]);
  return takesPresses;
}

function isAsked({ state }: Pick<Job, "state">): boolean {
  return state === "AWAITING_USER" || state === "AWAITING_VALIDATION";
}

/** Somebody, or the time limit, was first. */
function Settled({ job, onNext }: { readonly job: WholeJob; readonly onNext: () => void }) {
  const { data } = useEvents(job.jobId);
  const first = data && whoWasFirst(data.events);
  return (
    <>
      <p role="status" className="banner">
        {first ? (
          <>
            <bdi>{first.actorId}</bdi> was first, <Ago at={first.at} />: {first.what}
          </>
        ) : (
          "It no longer waits for anybody."
        )}
      </p>
      <Button onPress={onNext}>Next</Button>
    </>
  );
}

interface AskedProps extends Omit<DecisionProps, "jobId"> {
  readonly job: WholeJob;
  readonly action: Action;
  readonly onBegin: () => void;
}

function Asked({ job, mayDecide, isNext, action, onBegin, onDecided }: AskedProps) {
  const client = useClient();
  const queries = useQueryClient();
  const [comment, setComment] = useState("");
  const takesPresses = useTakesPresses(isNext);
  const { failure, run } = action;
  const request = job.userInputRequest;
  const settle = (what: string, decide: () => Promise<unknown>) => {
    onBegin();
    run(async () => {
      try {
        await decide();
        await queries.invalidateQueries({ queryKey: ["inbox"] });
        onDecided(what);
      } catch (error) {
        // Somebody else was first: the job, read again, says who.
        if (codeOf(error) !== "ILLEGAL_TRANSITION") throw error;
        await queries.invalidateQueries({ queryKey: ["job", job.jobId] });
      } finally {
        await queries.invalidateQueries({ queryKey: ["events", job.jobId] });
      }
    });
  };
  const remark = comment.trim() === "" ? {} : { comment };
  const review = (decision: ReviewDecision, more: { readonly answer?: unknown } = {}) => {
    const input = {
      jobId: job.jobId,
      decision,
      ...remark,
      ...more,
      ...(request ? { requestId: request.requestId } : {}),
    };
    settle(saidOf(decision, more.answer), async () =>
      successOf((await client.request(ResolveUserReview, { input })).resolveUserReview),
    );
  };
  const validate = (verdict: ValidationVerdict) => {
    const input = { jobId: job.jobId, verdict, ...remark };
    settle(VERDICT_WORDS[verdict], async () =>
      successOf((await client.request(ResolveValidation, { input })).resolveValidation),
    );
  };
  const issues = failure instanceof JobServerError ? (failure.details.issues ?? []) : [];
  return (
    <>
      {request && (
        <>
          <p className="question" dir="auto">
            {request.question}
          </p>
          {request.expiresAt && (
            <p className="quiet">
              To be answered until <At at={request.expiresAt} />.
            </p>
          )}
          {request.payload != null && <Json value={request.payload} what="what the question is about" />}
        </>
      )}
      {!request && <Json value={job.jobOutputs} what="outputs" />}
      <About job={job} />
      {mayDecide && (
        <div className="decide" inert={!takesPresses}>
          <TextInput
            label="Comment"
            value={comment}
            onChange={setComment}
            hint="Optional. It is kept in the job's record."
          />
          {request && (
            <AnswerForm
              key={request.requestId}
              options={request.options}
              schema={request.answerSchema}
              issues={issues}
              onAnswer={(answer) => review("ANSWER", { answer })}
            />
          )}
          <div className="bar">
            {!request && job.state === "AWAITING_USER" && (
              <>
                <Button look="primary" onPress={() => review("ACCEPT")}>
                  Accept
                </Button>
                <Button onPress={() => review("ACCEPT_WITH_ISSUES")}>Accept with issues</Button>
                <Button onPress={() => review("REVISE")}>Send back</Button>
              </>
            )}
            {job.state === "AWAITING_VALIDATION" && (
              <>
                <Button look="primary" onPress={() => validate("APPROVED")}>
                  Valid
                </Button>
                <Button onPress={() => validate("NEEDS_USER")}>Somebody should look</Button>
                <Button look="danger" onPress={() => validate("REJECTED")}>
                  Not valid
                </Button>
              </>
            )}
            {job.state === "AWAITING_USER" && <Button onPress={() => review("CANCEL")}>Cancel the job</Button>}
          </div>
        </div>
      )}
      {failure !== null && issues.length === 0 && (
        <p role="alert" className="notice notice-error">
          {messageOf(failure)}
        </p>
      )}
    </>
  );
}

/** What there is to decide on, beside what the question brings along. */
function About({ job }: { readonly job: WholeJob }) {
  return (
    <div className="about">
      {job.labels.length > 0 && (
        <p className="bar">
          <Labels labels={job.labels} />
        </p>
      )}
      {job.jobInputs != null && (
        <Fold title="Inputs">
          <Json value={job.jobInputs} what="inputs" />
        </Fold>
      )}
      <Fold title="Output so far">
        <Output job={job} none={<p className="quiet">None.</p>} />
      </Fold>
    </div>
  );
}

/** What was decided, as the page says it afterwards. */
const VERDICT_WORDS = {
  APPROVED: "Valid",
  REJECTED: "Not valid",
  NEEDS_USER: "Somebody should look",
} as const satisfies Record<ValidationVerdict, string>;
const REVIEW_WORDS = {
  ACCEPT: "Accepted",
  ACCEPT_WITH_ISSUES: "Accepted with issues",
  REVISE: "Sent back",
  CANCEL: "Cancelled",
  ANSWER: "Answered",
} as const satisfies Record<ReviewDecision, string>;

function saidOf(decision: ReviewDecision, answer: unknown): string {
  const word = REVIEW_WORDS[decision];
  return typeof answer === "string" ? `${word} “${answer}”` : word;
}
