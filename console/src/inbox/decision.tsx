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
import { useState } from "react";
import { Link } from "wouter";
import { codeOf, messageOf } from "../api/errors.ts";
import { useClient } from "../api/session.ts";
import { useEvents } from "../job/use-events.ts";
import { useJobView, type WholeJob } from "../job/use-job-view.ts";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { Failure } from "../ui/failure.tsx";
import { TextInput } from "../ui/fields.tsx";
import { Json } from "../ui/json.tsx";
import { kindWord } from "../ui/kind.ts";
import { State } from "../ui/state.tsx";
import { Ago, At } from "../ui/time.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { AnswerForm } from "./answer-form.tsx";
import { whoWasFirst } from "./who-was-first.ts";

export interface DecisionProps {
  readonly jobId: string;
  readonly mayDecide: boolean;
  /** Called to go on with the next; with what the person has decided, where it has. */
  readonly onDecided: (what?: string) => void;
}

/** What a job asks of a person, what it is about, and the answer. */
export function Decision({ jobId, mayDecide, onDecided }: DecisionProps) {
  const { data: job, error } = useJobView(jobId);
  if (error) return <Failure error={error} />;
  if (job === undefined) return <Waiting what="The job" />;
  if (job === null) return <Empty>There is no such job.</Empty>;
  return (
    <section className="card" aria-label="Decision">
      <div className="title">
        <h2>
          <Link href={`/jobs/${jobId}`}>{kindWord(job.jobKind)}</Link> <bdi className="quiet">{job.protocolId}</bdi>
        </h2>
        <State state={job.state} />
      </div>
      {isAsked(job) ? (
        <Asked job={job} mayDecide={mayDecide} onDecided={onDecided} />
      ) : (
        <Settled job={job} onNext={() => onDecided()} />
      )}
    </section>
  );
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
          "It waits for nobody any more."
        )}
      </p>
      <Button onPress={onNext}>Next</Button>
    </>
  );
}

function Asked({
  job,
  mayDecide,
  onDecided,
}: {
  readonly job: WholeJob;
  readonly mayDecide: boolean;
  readonly onDecided: DecisionProps["onDecided"];
}) {
  const client = useClient();
  const queries = useQueryClient();
  const [comment, setComment] = useState("");
  const [failure, setFailure] = useState<unknown>(null);
  const request = job.userInputRequest;
  const settle = async (what: string, decide: () => Promise<unknown>) => {
    setFailure(null);
    try {
      await decide();
      await queries.invalidateQueries({ queryKey: ["inbox"] });
      onDecided(what);
    } catch (error) {
      // Somebody else was first: the job, read again, says who.
      if (codeOf(error) === "ILLEGAL_TRANSITION") await queries.invalidateQueries({ queryKey: ["job", job.jobId] });
      else setFailure(error);
    }
    await queries.invalidateQueries({ queryKey: ["events", job.jobId] });
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
    void settle(saidOf(decision, more.answer), async () =>
      successOf((await client.request(ResolveUserReview, { input })).resolveUserReview),
    );
  };
  const validate = (verdict: ValidationVerdict) => {
    const input = { jobId: job.jobId, verdict, ...remark };
    void settle("Decided", async () =>
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
      {mayDecide && (
        <>
          <TextInput
            label="Comment"
            value={comment}
            onChange={setComment}
            hint="Optional; it stands in the job's record."
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
            {job.state === "AWAITING_USER" && (
              <Button look="danger" onPress={() => review("CANCEL")}>
                Cancel the job
              </Button>
            )}
          </div>
        </>
      )}
      {failure !== null && issues.length === 0 && (
        <p role="alert" className="notice notice-error">
          {messageOf(failure)}
        </p>
      )}
    </>
  );
}

/** @returns what was decided, as the page says it afterwards. */
function saidOf(decision: ReviewDecision, answer: unknown): string {
  if (decision !== "ANSWER") return "Decided";
  return typeof answer === "string" ? `Answered “${answer}”` : "Answered";
}
