"""The steps of a run."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Callable, Mapping, Sequence

from .clock import rfc3339
from .connection import Connection
from .errors import CannotBeDone
from .metrics import Amount, TokenRole, amount_of, amount_of_call, calls_of
from .operations import COMPLETED_STEP
from .reports import Reports, StepReport
from .retry import until_answered
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
        self._nodes = {node["nodeId"]: node for node in claim["completedNodes"]}

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
    _amounts: list[Amount]

    def report_metrics(self, *, entities_read: int = 0, entities_written: int = 0, validators_run_count: int = 0) -> None:
        """Counts what the step has read, written or validated; called again, it adds.

        It is told with the end of the step, and so counts once for each time that the step is done. The tokens of models come from
        their usage: see `count_tokens_as`. Raises ValueError for what is no whole number from 0.

        entities_read: how many entities it has read, such as documents, rows or messages.
        entities_written: how many it has written; the job's access mode must allow it.
        validators_run_count: how many validators it has run; the server's guards are counted by the server.
        """
        amount = amount_of(entities_read=entities_read, entities_written=entities_written, validators_run_count=validators_run_count)
        # A step with amounts is reported in a request of its own, which zeros are not worth.
        if any(amount.counts.values()):
            self._amounts.append(amount)


@dataclass(frozen=True)
class _Options:
    type: str
    input: Any
    depends_on: Sequence[str] = ()
    provider: str | None = None
    count_tokens_as: TokenRole | None = None


class Steps:
    def __init__(self, reports: Reports, scope: RunScope, completed: CompletedSteps, price_of: PriceOf, revision: str) -> None:
        #: Stands behind the name of each step; it changes when a person sends the job back, whose steps are then done anew.
        self._revision = revision
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
        count_tokens_as: TokenRole | None = None,
    ) -> Any:
        """Does a step, once: a step that an earlier run of the job has done with the same input answers at once with what that one returned.

        So what is between the steps must come out the same each time. What a step returns is stored as JSON, up to 256 KiB, and returned as
        it is stored. Raises what `work` raises, or why the run must stop.

        name: a name of its own; one that comes again is another step.
        type: what kind of step it is, such as llm_call, tool or retrieval.
        input: what the step is made from.
        depends_on: the names of steps that must have succeeded before.
        provider: the provider of the models that it calls, where their answers do not tell it.
        count_tokens_as: for whom its calls of models are made, "planner" or "executor". Their tokens, of 16 calls at most, are counted as those
        of the planner, or of the executor, too: as a part of the total, so that none counts twice. Left out, they count in the total alone.
        """
        if count_tokens_as not in (None, "planner", "executor"):
            raise ValueError('count_tokens_as must be "planner" or "executor".')
        return self._do(name, work, _Options(type, input, depends_on, provider, count_tokens_as), ())

    def show_snippets(self, snippets: Sequence[Mapping[str, Any]]) -> None:
        """Shows the server's guards what was read, as a step of its own."""
        made_from = [{"sourceId": s["sourceId"], "sha256": hashlib.sha256(s["content"].encode()).hexdigest()} for s in snippets]
        self._do("snippets", lambda _step: None, _Options("retrieval", made_from), snippets)
        self._reports.flush()

    def _do(self, name: str, work: Callable[[StepContext], Any], options: _Options, snippets: Sequence[Mapping[str, Any]]) -> Any:
        node_id = self._node_id_of(name) + self._revision
        self._scope.throw_if_over()
        made_from = as_json(options.input)
        done = self._completed.find(node_id, made_from, self._scope.signal)
        if done:
            return done["output"]
        # What came before is kept, and guards have let it pass, before anything is made of it.
        self._reports.flush()
        self._scope.throw_if_over()
        node = {"nodeId": node_id, "nodeType": options.type}
        start = {**node, "inputPayload": made_from, "dependsOn": [each + self._revision for each in options.depends_on]}
        shown = _ShowLater(lambda: self._reports.start({**start, "outcome": "STARTED"}))
        started_at = rfc3339(datetime.now(timezone.utc))
        amounts: list[Amount] = []

        def ended(end: Mapping[str, Any]) -> dict[str, Any]:
            return {**(node if shown.cancel() else {**start, "startedAt": started_at}), **end}

        def report_usage(used: Mapping[str, Any]) -> None:
            amounts.append(amount_of_call(used, options.count_tokens_as))

        def count_usage(answer: Any) -> None:
            used = usage_of(answer, options.provider)
            if used:
                # A price of a token may be a part of a millionth; what is reported is whole.
                report_usage({**used, "costMicros": max(0, round(self._price_of(used)))})

        try:
            value = work(StepContext(self._scope.signal, count_usage, report_usage, amounts))
            if not calls_of(amounts):
                count_usage(value)
            self._scope.throw_if_over()
            output = output_of(name, value)
            self._reports.add(StepReport(ended({"outcome": "SUCCEEDED", "outputPayload": output}), amounts, snippets))
            return output
        except BaseException as error:
            end = ended({"outcome": "FAILED", "errorMessage": message_of(error)})
            if self._scope.signal.aborted:
                # The next run does the step again, and counts it then. But its calls of models were paid for.
                for each in calls_of(amounts):
                    self._reports.add_usage(each)
            else:
                self._reports.add(StepReport(end, amounts))
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
            try:
                self._show()
                self._was_shown = True
            except Exception:
                # The server does not know that it has started: its end tells both.
                pass


#: The longest output of a step, in bytes of its JSON.
MAX_OUTPUT_BYTES = 256 * 1024


def output_of(name: str, value: Any) -> Any:
    """What a step has made, as it is stored. Raises CannotBeDone where the server would refuse it, since it would be the same again."""
    try:
        output = as_json(value)
        size = len(json.dumps(output, ensure_ascii=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise CannotBeDone(f"What the step {name} returned is no JSON: {error}") from error
    if size > MAX_OUTPUT_BYTES:
        raise CannotBeDone(f"The step {name} returned {size} bytes, and at most 256 KiB are kept: store it elsewhere, and return where.")
    return output


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
    try:
        text = str(error)
    except Exception:
        text = ""
    return text[:2000].encode("utf-8", "replace").decode().replace("\0", "") or error.__class__.__name__
