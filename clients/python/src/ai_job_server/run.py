"""One attempt at a job, and what its handler gets."""

from __future__ import annotations

import hashlib
import math
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Mapping, NoReturn, Sequence

from .clock import rfc3339
from .connection import Connection, success_of
from .errors import CannotBeDone, GivenBack, JobServerError, RetryAfter, Waiting
from .leases import Lease
from .operations import SUBMIT_AI_JOB
from .output import Output
from .reports import Reports
from .retry import until_answered
from .scope import RunScope
from .signals import Signal
from .steps import CompletedSteps, PriceOf, Steps, as_json, message_of

#: How long usage that came too late is tried to be reported.
LATE_SECONDS = 60.0
#: A sleep that is longer is one without a worker.
LONG_SLEEP_SECONDS = 10.0
#: The server takes a time that is at most 24 hours ahead, by its own clock.
MAX_RETRY = timedelta(hours=23, minutes=59)
ENDED = frozenset({"COMPLETED", "COMPLETED_WITH_ISSUES", "FAILED", "CANCELLED", "POISONED"})

Job = Mapping[str, Any]
Handler = Callable[[Job, "RunContext"], "Mapping[str, Any] | None"]


@dataclass(frozen=True)
class RegisteredHandler:
    handler: Handler
    #: Returns the inputs as the handler gets them; what it raises fails the job for good.
    inputs: Callable[[Any], Any] | None = None
    outputs: Callable[[Any], Any] | None = None


class Children:
    """The children of a job: jobs that it has submitted, and may wait for."""

    def __init__(self, connection: Connection, scope: RunScope, reports: Reports, claim: Mapping[str, Any], wait: Callable[[], NoReturn]):
        self._revision = revision_of(claim)
        self._connection, self._scope, self._reports, self._claim, self._wait = connection, scope, reports, claim, wait
        self._submitted = 0
        self._is_new = False

    def submit(self, **job: Any) -> str:
        """Submits a child, once, however often the handler is called again: the first one of each run is the same, and so on.

        The fields are those of SubmitAiJobInput; the key must have the role SUBMITTER, too. Returns the id of the child.
        """
        self._reports.flush()
        self._scope.throw_if_over()
        self._submitted += 1
        parent = self._claim["job"]["jobId"]
        variables = {"input": {**job, "parentJobId": parent, "idempotencyKey": f"{parent}/child-{self._submitted}{self._revision}"}}
        answer = until_answered(
            lambda: success_of(self._connection.request(SUBMIT_AI_JOB, variables)["submitAiJob"]), self._scope.signal
        )
        job_id = str(answer["job"]["jobId"])
        self._is_new |= not any(child["jobId"] == job_id for child in self._claim["children"])
        return job_id

    def wait(self) -> list[Job]:
        """Waits until all children have ended. Where they have not, the run ends here, and the handler is called again when they have.

        Returns the children, oldest first, with their states and outputs.
        """
        children = self._claim["children"]
        if self._is_new or any(child["state"] not in ENDED for child in children):
            self._wait()
        return list(reversed(children))


class RunContext:
    """What a handler gets beside its job: everything that it may say or ask while it works."""

    def __init__(self, run: Run, connection: Connection, claim: Mapping[str, Any], steps: Steps, reports: Reports, output: Output, traceparent: str) -> None:
        self._run, self._claim, self._steps, self._reports = run, claim, steps, reports
        self._times: dict[str, int] = {}
        #: Aborted when the run must stop; its reason says why. Look at it in everything that takes long.
        self.signal: Signal = run.scope.signal
        #: Which attempt at the job this is, from 1.
        self.attempt: int = claim["job"]["attempt"]
        #: What the person said who last sent the job back; None where nobody did. Steps from before that are done anew.
        self.review_comment: str | None = claim["reviewComment"]
        #: The W3C trace context of the job, to be sent on as the header `traceparent`.
        self.traceparent = traceparent
        self.children = Children(
            connection, run.scope, reports, claim, lambda: run.wait_by(self._releasing("Waits for its children.", untilChildrenEnd=True))
        )
        #: What people see while the run goes on.
        self.output = output
        #: Does a step, once.
        self.step = steps.do

    def ask(
        self,
        question: str,
        *,
        schema: Mapping[str, Any] | None = None,
        options: Sequence[str] = (),
        payload: Any = None,
        expires_at: datetime | None = None,
    ) -> Any:
        """Asks a person. Where there is no answer yet, the run ends here, and the handler is called again when it is there.

        `schema` is JSON Schema: the server refuses every other answer.
        """
        answers = [each for each in self._claim["userAnswers"] if each["question"] == question]
        place = self._times.get(question, 0)
        self._times[question] = place + 1
        if place < len(answers):
            return answers[place]["answer"]
        asked: dict[str, Any] = {"question": question, "options": list(options)}
        if payload is not None:
            asked["payload"] = as_json(payload)
        if schema is not None:
            asked["answerSchema"] = schema
        if expires_at is not None:
            asked["expiresAt"] = rfc3339(expires_at)
        self._run.wait_by(lambda: self._reports.ask(asked))

    def release(self, reason: str) -> NoReturn:
        """Gives the job back: the next worker goes on from the steps that are done, and nothing is charged."""
        self._run.wait_by(self._releasing(reason))

    def sleep_until(self, at: datetime) -> None:
        """Waits for a time without a worker: where it is ahead, the run ends here, and the handler is called again then."""
        seconds = (at - datetime.now(timezone.utc)).total_seconds()
        if seconds > LONG_SLEEP_SECONDS:
            self._run.wait_by(self._releasing("Waits for a time.", runAfter=rfc3339(at)))
        # Not for a short while: by the clock of the database it may have passed already, and the job would come back at once.
        elif seconds > 0 and self.signal.wait(seconds):
            self.signal.throw_if_aborted()

    def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Says how far the run is; as often as you like."""
        said: dict[str, Any] = {}
        if fraction is not None and not math.isnan(fraction):
            said["fraction"] = min(max(float(fraction), 0.0), 1.0)
        # The server counts as UTF-16 does.
        text = (message or "").replace("\0", "").encode("utf-16-le", "replace")[:400].decode("utf-16-le", "ignore")
        if text:
            said["message"] = text
        if said:
            self._run.say_progress(said)

    def snippets(self, snippets: Sequence[Mapping[str, Any]]) -> list[str]:
        """Shows the server's guards what was read, before a model sees it.

        Returns the texts, once the guards have let them pass; otherwise the job is poisoned, and Stopped is raised.
        """
        self._steps.show_snippets(snippets)
        return [snippet["content"] for snippet in snippets]

    def report_usage(self, usage: Mapping[str, Any]) -> None:
        """Counts a call of a model that belongs to no step: `provider`, `model`, `inputTokens` and so on, as ModelUsageInput."""
        self._reports.add_usage(usage)

    def _releasing(self, reason: str, **more: Any) -> Callable[[], None]:
        return lambda: self._reports.release({"reason": reason, **more})


class Run:
    def __init__(
        self,
        connection: Connection,
        claim: Mapping[str, Any],
        lease: Lease,
        price_of: PriceOf,
        say_progress: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._claim = claim
        self._lease = lease
        self.scope = RunScope(lease)
        self.say_progress = say_progress
        proof = {"workflowRunId": claim["workflowRun"]["workflowRunId"], "leaseToken": claim["leaseToken"]}
        # What the server does for this run belongs to the trace of its job.
        traceparent = f"00-{claim['job']['traceId'].replace('-', '')}-{secrets.token_hex(8)}-01"
        connection = connection.within(traceparent)
        self._reports = Reports(connection, proof, lease)
        self._output = Output(connection, proof, lease)
        steps = Steps(self._reports, self.scope, CompletedSteps(connection, claim), price_of, revision_of(claim))
        self._context = RunContext(self, connection, claim, steps, self._reports, self._output, traceparent)

    def do(self, handler: RegisteredHandler) -> str:
        """Calls the handler, and reports how it ended. Returns that, in a word.

        Raises what keeps the end from being reported; then the job is recovered when its lease has passed.
        """
        done: list[Mapping[str, Any] | BaseException] = []
        ended = threading.Event()

        def work() -> None:
            try:
                done.append(self._work(handler))
            except BaseException as error:
                done.append(error)
            ended.set()

        try:
            self.scope.throw_if_over()
        except BaseException as error:
            return self._break_off(error)
        # A thread of its own: a handler that goes on when it was told to stop is not waited for.
        stop_watching = self.scope.signal.call_on_abort(ended.set)
        threading.Thread(target=work, name=f"job {self._claim['job']['jobId']}", daemon=True).start()
        try:
            ended.wait()
            self.scope.throw_if_over()
            result = done[0]
            if isinstance(result, BaseException):
                raise result
            self._output.end()
            self.scope.throw_if_over()
            self._reports.complete(result)
            return "completed"
        except BaseException as error:
            return self._break_off(error)
        finally:
            stop_watching()
            self._output.close()
            late = Signal()
            timer = threading.Timer(LATE_SECONDS, late.abort, args=(TimeoutError("It took too long."),))
            timer.daemon = True
            timer.start()
            try:
                self._reports.report_late(late)
            except TimeoutError:
                pass
            timer.cancel()

    def give_back(self) -> None:
        """Gives the job back, while the handler is at work."""
        self.scope.end(GivenBack("The worker stops."))

    def wait_by(self, report: Callable[[], None]) -> NoReturn:
        """Ends the run in a way by which the job waits."""
        self.scope.throw_if_over()
        # The rest of the partial output first, so that whoever is asked can read it.
        self._output.end()
        self.scope.throw_if_over()
        report()
        self.scope.end(Waiting("The job waits; its handler is called again."))
        raise self.scope.signal.reason or Waiting()

    def _work(self, handler: RegisteredHandler) -> Mapping[str, Any]:
        job = dict(self._claim["job"])
        inputs = _checked("inputs", handler.inputs, job.pop("jobInputs"))
        self.scope.throw_if_over()
        result = dict(handler.handler({**job, "inputs": inputs}, self._context) or {})
        outputs = _checked("outputs", handler.outputs, result.pop("outputs", None))
        try:
            completion: dict[str, Any] = {"jobOutputs": as_json(outputs)}
        except (TypeError, ValueError, RecursionError) as error:
            raise CannotBeDone(f"The job's outputs are no JSON: {error}") from error
        for name, sent in (("issues", "issues"), ("written_entities", "writtenEntities"), ("needs_validation", "needsValidation")):
            if name in result:
                completion[sent] = result.pop(name)
        if result:
            raise CannotBeDone(f"A handler returns outputs, issues, written_entities and needs_validation, and no {', '.join(result)}.")
        return completion

    def _break_off(self, error: BaseException) -> str:
        if self._lease.signal.aborted:
            return "stopped"
        reason = self.scope.signal.reason
        if isinstance(reason, Waiting):
            return "waits"
        try:
            if isinstance(reason, GivenBack):
                self._reports.release({"reason": str(reason)})
                return "given back"
            # What other threads of the handler are doing is stopped, too: nobody waits for it any more.
            self.scope.end(error)
            self._reports.fail({"errorMessage": message_of(error), **_retry_of(error)})
            return "failed"
        except BaseException:
            if self._lease.signal.aborted:
                return "stopped"
            raise


def revision_of(claim: Mapping[str, Any]) -> str:
    """What names the steps and children of a revision apart from those before a person sent the job back; empty where nobody did."""
    comment = claim["reviewComment"]
    return "" if comment is None else f"~{hashlib.sha256(comment.encode()).hexdigest()[:8]}"


def _checked(what: str, check: Callable[[Any], Any] | None, value: Any) -> Any:
    if check is None:
        return value
    try:
        return check(value)
    except Exception as error:
        raise CannotBeDone(f"The job's {what} do not fit: {error}") from error


def _retry_of(error: BaseException) -> dict[str, Any]:
    """Whether another attempt may go better, and when."""
    if isinstance(error, CannotBeDone) or (isinstance(error, JobServerError) and error.code == "INVALID_INPUT"):
        return {"retryable": False}
    if isinstance(error, RetryAfter):
        latest = datetime.now(timezone.utc) + MAX_RETRY
        return {"retryable": True, "retryAfter": rfc3339(min(error.at, latest))}
    return {"retryable": True}
