"""The reports of a run: one after another, each until it is answered, and counted once however often it is sent."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Sequence

from .connection import Connection, error_of, success_of
from .errors import JobServerError, Stopped, UnansweredError
from .leases import Lease
from .metrics import Amount, Usage, calls_of, sum_of
from .operations import (
    ADVANCE_WORKFLOW,
    COMPLETE_WORKFLOWS,
    FAIL_WORKFLOWS,
    RELEASE_WORKFLOWS,
    REPORT_USAGE,
    REQUEST_USER_INPUT,
)
from .retry import until_answered
from .signals import Signal

#: The most steps, and the most calls of models, of one report.
MAX_STEPS = 100
MAX_CALLS = 16
#: How often in a row a guard may fail to decide about a report.
MAX_GUARD_FAILURES = 5
#: After how long a step is reported by itself, where no other report takes it along.
SOON_SECONDS = 1.0


@dataclass
class StepReport:
    """A step with what it has brought."""

    step: Mapping[str, Any]
    amounts: Sequence[Amount] = ()
    snippets: Sequence[Mapping[str, Any]] = ()


@dataclass
class _Late:
    report_id: str
    usage: Sequence[Usage]


@dataclass
class _Waiting:
    steps: list[StepReport] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)
    late: list[_Late] = field(default_factory=list)


class Reports:
    def __init__(self, connection: Connection, proof: Mapping[str, str], lease: Lease) -> None:
        self._connection = connection
        self._proof = proof
        self._lease = lease
        self._waiting = _Waiting()
        self._reported_at = time.monotonic()
        # One report after another: the server would do the same, by the job's lock.
        self._turn = threading.RLock()
        #: Reports what waits, where nothing else does soon.
        self._soon: threading.Timer | None = None
        self._is_over = False

    def add(self, report: StepReport) -> None:
        """Keeps a step for the next report: the next step's, or the one that ends the run."""
        with self._turn:
            self._waiting.steps.append(report)
            self._report_soon()

    def add_usage(self, usage: Usage) -> None:
        """Keeps a call of a model, of no step, for the report that ends the run; where that does not come soon, for one by itself."""
        with self._turn:
            self._waiting.usage.append(usage)
            if self._is_over:
                threading.Thread(target=self.report_late, args=(Signal(),), daemon=True).start()
            else:
                self._report_soon()

    def start(self, step: Mapping[str, Any]) -> None:
        """Reports that a step goes on, so that people see it."""
        with self._turn:
            self._advance([StepReport(step)])

    def flush(self, left: int = 0) -> None:
        """Reports what waits. Once it returns, the guards have let it pass, and it is kept. `left` of the last steps may wait on."""
        with self._turn:
            if self._soon and not self._waiting.usage:
                self._soon.cancel()
                self._soon = None
            steps = self._waiting.steps
            while len(steps) > left:
                # A step that counted something goes alone, or that would not show as its own.
                using = next((at for at, report in enumerate(steps) if report.amounts), None)
                count = 1 if using == 0 else min(len(steps) - left if using is None else using, MAX_STEPS)
                reports = steps[: max(count, 1)]
                del steps[: len(reports)]
                self._advance(reports)

    def complete(self, completion: Mapping[str, Any]) -> None:
        """Completes the run, with the steps that still wait."""
        with self._turn:
            self.flush(left=1)
            steps, self._waiting.steps = self._waiting.steps, []
            amounts = [*(each for report in steps for each in report.amounts), *self._taken_usage()]
            brought = {
                **completion,
                "steps": [report.step for report in steps],
                "retrievedSnippets": [snippet for report in steps for snippet in report.snippets],
            }
            self._end(COMPLETE_WORKFLOWS, "completeWorkflows", "completions", brought, amounts)

    def fail(self, failure: Mapping[str, Any]) -> None:
        """Fails the run."""
        with self._turn:
            self._flush_what_fits()
            self._end(FAIL_WORKFLOWS, "failWorkflows", "failures", failure, self._taken_usage())

    def release(self, why: Mapping[str, Any]) -> None:
        """Gives the job back."""
        with self._turn:
            self._flush_what_fits()
            self._end(RELEASE_WORKFLOWS, "releaseWorkflows", "releases", why, self._taken_usage())

    def ask(self, question: Mapping[str, Any]) -> None:
        """Asks a person, which ends the lease."""
        with self._turn:
            self.flush()

            def attempt(proof: Mapping[str, str], metrics: Mapping[str, Any]) -> Mapping[str, Any]:
                variables = {"input": {**proof, **question, "metrics": metrics}}
                return dict(self._connection.request(REQUEST_USER_INPUT, variables)["requestUserInput"])

            self._send(self._taken_usage(), attempt)

    def report_late(self, signal: Signal) -> None:
        """Reports what calls of models have used that no report has brought to the server, because the run had ended: they were paid for."""
        with self._turn:
            self._is_over = True
            unsent = [*(each for report in self._waiting.steps for each in report.amounts), *self._taken_usage()]
            self._waiting.steps = []
            self._add_late(calls_of(unsent))
            late, self._waiting.late = self._waiting.late, []
        for each in late:
            variables = {"input": {**self._proof, "reportId": each.report_id, "usage": list(each.usage)}}
            try:
                until_answered(lambda: success_of(self._connection.request(REPORT_USAGE, variables)["reportUsage"]), signal)
            except JobServerError:
                # A refusal is final: the report was kept after all, and this with it.
                pass

    def _add_late(self, usage: Sequence[Usage]) -> None:
        """Keeps calls to be reported late, as many a report as one may have."""
        for at in range(0, len(usage), MAX_CALLS):
            self._waiting.late.append(_Late(str(uuid.uuid4()), usage[at : at + MAX_CALLS]))

    def _report_soon(self) -> None:
        """A call that was paid for must not be made again, or go uncounted, because the next step takes long and the worker dies."""
        if self._soon is None:
            self._soon = threading.Timer(SOON_SECONDS, self._report_now)
            self._soon.daemon = True
            self._soon.start()

    def _report_now(self) -> None:
        try:
            with self._turn:
                self._soon = None
                self.flush()
                usage = self._taken_usage()
                if usage:
                    self._send(usage, self._attempt_usage)
        except Exception:
            # Whoever reports next is told what was wrong with the run.
            pass

    def _attempt_usage(self, proof: Mapping[str, str], metrics: Mapping[str, Any]) -> Mapping[str, Any]:
        variables = {"input": {**proof, "usage": metrics["usage"]}}
        return dict(self._connection.request(REPORT_USAGE, variables)["reportUsage"])

    def _flush_what_fits(self) -> None:
        """Reports what waits before the run fails or is given back; a step that the server refuses does not keep it from ending."""
        while self._waiting.steps:
            try:
                self.flush()
            except Exception:
                self._lease.throw_if_over()

    def _advance(self, reports: Sequence[StepReport]) -> None:
        def attempt(proof: Mapping[str, str], metrics: Mapping[str, Any]) -> Mapping[str, Any]:
            brought = {
                **proof,
                "steps": [report.step for report in reports],
                "retrievedSnippets": [snippet for report in reports for snippet in report.snippets],
                "metrics": metrics,
            }
            return dict(self._connection.request(ADVANCE_WORKFLOW, {"input": brought})["advanceWorkflow"])

        self._send([each for report in reports for each in report.amounts], attempt)

    def _end(self, query: str, field_name: str, list_name: str, item: Mapping[str, Any], amounts: Sequence[Amount]) -> None:
        def attempt(proof: Mapping[str, str], metrics: Mapping[str, Any]) -> Mapping[str, Any]:
            variables = {"input": {list_name: [{**proof, **item, "metrics": metrics}]}}
            batch = self._connection.request(query, variables)[field_name]
            if "results" not in batch:
                return dict(batch)
            if not batch["results"]:
                raise UnansweredError("The answer lacks its result.")
            return dict(batch["results"][0])

        self._send(amounts, attempt)

    def _send(self, amounts: Sequence[Amount], attempt: Callable[[Mapping[str, str], Mapping[str, Any]], Mapping[str, Any]]) -> None:
        """Sends a report until it is answered.

        Raises Stopped where the run must stop, JobServerError where the report was wrong, or a guard could not decide.
        """
        report_id = str(uuid.uuid4())
        calls = [each for each in amounts if each.usage is not None]
        others = [each for each in amounts if each.usage is None]
        self._add_late(calls_of(calls[MAX_CALLS:]))
        guard_failures = 0
        metrics = sum_of([*calls[:MAX_CALLS], *others], self._worked())
        proof = {**self._proof, "reportId": report_id}

        def once() -> Mapping[str, Any]:
            nonlocal guard_failures
            answer = attempt(proof, metrics)
            if answer.get("code") == "GUARD_FAILED" and guard_failures < MAX_GUARD_FAILURES:
                # A guard that could not decide may be able to a little later; nothing was kept.
                guard_failures += 1
                raise JobServerError("TRY_AGAIN", answer["message"])
            if answer.get("code") == "TRY_AGAIN":
                raise error_of(answer)
            return answer

        try:
            self._lease.throw_if_over()
            self._judge(until_answered(once, self._lease.signal))
            # An answer that comes after the deadline counts no more: another worker may have the job.
            self._lease.throw_if_over()
        except BaseException as error:
            code = error.code if isinstance(error, Stopped) else None
            # Under BUDGET_EXCEEDED the report was kept, and failed the job by what it brought.
            if metrics["usage"] and code != "BUDGET_EXCEEDED":
                is_taken = code in ("ACCESS_MODE_VIOLATION", "CAPABILITY_DENIED")
                late_id = str(uuid.uuid4()) if is_taken else report_id
                self._waiting.late.append(_Late(late_id, metrics["usage"]))
            raise

    def _judge(self, answer: Mapping[str, Any]) -> None:
        if answer["__typename"] == "JobPoisoned":
            self._lease.stop("STOP_POISONED", "A guard found something in what the run brought.", "JOB_POISONED")
        elif "code" in answer:
            raise self._lease.refuse(error_of(answer))

    def _taken_usage(self) -> list[Amount]:
        """The calls of models of no step."""
        usage, self._waiting.usage = self._waiting.usage, []
        return [Amount(each, {}) for each in usage]

    def _worked(self) -> int:
        """Milliseconds since the last report, so that the reports add up to the time of the run."""
        since, self._reported_at = self._reported_at, time.monotonic()
        return round((self._reported_at - since) * 1000)
