"""The steps of a run."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Callable, Mapping, Sequence

from .connection import Connection, rfc3339, until_answered
from .operations import COMPLETED_STEP
from .reports import Reports, StepReport
from .scope import RunScope
from .signals import Signal
from .usage import usage_of

#: A step that goes on for so long is reported while it does, so that people see it.
SHOW_AFTER_SECONDS = 1.0

PriceOf = Callable[[Mapping[str, Any]], int]


class CompletedSteps:
    """What earlier runs of a job have done."""

    def __init__(self, connection: Connection, claim: Mapping[str, Any]) -> None:
        self._connection = connection
        # A person who sent the job back wants the work redone.
        nodes = claim["completedNodes"] if claim["reviewComment"] is None else []
        self._nodes = {node["nodeId"]: node for node in nodes}

    def find(self, node_id: str, made_from: Any, signal: Signal) -> Mapping[str, Any] | None:
        """The step that an earlier run has done with the same input, with its `output`; None where none has."""
        node = self._nodes.get(node_id)
        if node and node["outputIsLeftOut"]:
            variables = {"id": node["stepId"]}
            loaded = until_answered(lambda: self._connection.request(COMPLETED_STEP, variables)["node"], signal)
            node = loaded and {"input": loaded["inputPayload"], "output": loaded["outputPayload"]}
        return node if node and node["input"] == made_from else None


@dataclass(frozen=True)
class StepContext:
    """What the function of a step gets."""

    #: Aborted when the run must stop. Look at it in everything that takes long.
    signal: Signal
    #: Counts a call of a model by what its provider answered: OpenAI (or compatible), or Anthropic.
    count_usage: Callable[[Any], None]
    #: Counts a call of a model.
    report_usage: Callable[[Mapping[str, Any]], None]


class Steps:
    def __init__(self, reports: Reports, scope: RunScope, completed: CompletedSteps, price_of: PriceOf) -> None:
        self._reports = reports
        self._scope = scope
        self._completed = completed
        self._price_of = price_of
        self._times: dict[str, int] = {}

    def do(
        self,
        name: str,
        work: Callable[[StepContext], Any],
        *,
        type: str = "step",
        input: Any = None,
        depends_on: Sequence[str] = (),
        provider: str | None = None,
        snippets: Sequence[Mapping[str, Any]] = (),
    ) -> Any:
        """Does a step, unless an earlier run has done it. Raises what `work` raises, or why the run must stop."""
        node_id = self._node_id_of(name)
        self._scope.throw_if_over()
        made_from = as_json(input)
        done = self._completed.find(node_id, made_from, self._scope.signal)
        if done:
            return done["output"]
        # What came before is kept, and guards have let it pass, before anything is made of it.
        self._reports.flush()
        self._scope.throw_if_over()
        node = {"nodeId": node_id, "nodeType": type}
        start = {**node, "inputPayload": made_from, "dependsOn": list(depends_on)}
        shown = _ShowLater(lambda: self._reports.start({**start, "outcome": "STARTED"}))
        started_at = rfc3339(datetime.now(timezone.utc))
        usage: list[Mapping[str, Any]] = []

        def ended(end: Mapping[str, Any]) -> dict[str, Any]:
            return {**(node if shown.cancel() else {**start, "startedAt": started_at}), **end}

        def count_usage(answer: Any) -> None:
            used = usage_of(answer, provider)
            if used:
                usage.append({**used, "costMicros": self._price_of(used)})

        try:
            value = work(StepContext(self._scope.signal, count_usage, usage.append))
            self._scope.throw_if_over()
            if not usage:
                count_usage(value)
            output = as_json(value)
            self._reports.add(StepReport(ended({"outcome": "SUCCEEDED", "outputPayload": output}), usage, snippets))
            return output
        except BaseException as error:
            end = ended({"outcome": "FAILED", "errorMessage": message_of(error)})
            if self._scope.signal.aborted:
                for each in usage:
                    self._reports.add_usage(each)
            else:
                self._reports.add(StepReport(end, usage))
            raise

    def _node_id_of(self, name: str) -> str:
        """A step that comes again is another one: `#2`, `#3` and so on, in the order in which they begin, which must be the same in every run."""
        times = self._times[name] = self._times.get(name, 0) + 1
        return name if times == 1 else f"{name}#{times}"


class _ShowLater:
    """Reports a step that goes on for long, once."""

    def __init__(self, show: Callable[[], None]) -> None:
        self._show = show
        self._lock = threading.Lock()
        self._is_over = False
        self._was_shown = False
        self._timer = threading.Timer(SHOW_AFTER_SECONDS, self._fire)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> bool:
        """Shows it no more. Returns whether it was shown; waits for a report that is under way."""
        self._timer.cancel()
        with self._lock:
            self._is_over = True
            return self._was_shown

    def _fire(self) -> None:
        with self._lock:
            if self._is_over:
                return
            self._was_shown = True
            try:
                self._show()
            except Exception:
                # Whoever reports next is told the same.
                pass


def as_json(value: Any) -> Any:
    """A value as JSON has it, so that a step answers the same in the run that does it as in every later one."""
    return json.loads(json.dumps(value, default=_plain, allow_nan=False))


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    raise TypeError(f"{type(value).__name__} is no JSON: return dicts, lists, texts, numbers, True, False or None.")


def message_of(error: BaseException) -> str:
    """The message of an error, in a length and form that the server accepts."""
    text = str(error) or error.__class__.__name__
    return text[:2000].encode("utf-8", "replace").decode().replace("\0", "")
