"""Renews leases, and listens to what the server tells their runs."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping

from .clock import moment
from .connection import Connection, success_of
from .deadline import Deadline
from .errors import JobServerError, UnansweredError
from .operations import HEARTBEAT_WORKFLOWS, WORKER_DIRECTIVES
from .retry import follow
from .signals import Signal

log = logging.getLogger("ai_job_server")

#: How long a heartbeat waits for its answer: then the next one is sent, since the connection may be dead.
ANSWER_SECONDS = 5.0
#: The shortest time between two heartbeats of a run that are sent for its progress: more often the server shows none.
PROGRESS_SECONDS = 1.0
MAX_HEARTBEATS = 100
#: How long to wait before a stream that ended is opened anew.
REOPEN_SECONDS = 1.0


@dataclass
class Held:
    token: str
    deadline: Deadline
    due: float
    last_sent: float
    progress: Mapping[str, Any] | None = None
    #: Whether the next heartbeat says no progress: the last one was not answered, which may be for what it said.
    omits_progress: bool = False


class LeaseRenewer:
    """Renews leases: each a third of its time after it was last renewed, several in one request; and sends what runs say of their progress."""

    def __init__(self, connection: Connection, lease_seconds: float, on_stop: Callable[[str, str, str], None]) -> None:
        self._connection = connection
        self._lease_seconds = lease_seconds
        self._on_stop = on_stop
        self._held: dict[str, Held] = {}
        self._lock = threading.Condition()
        self._is_closed = False

    def hold(self, run_id: str, token: str, sent_at: float, deadline: Deadline) -> None:
        with self._lock:
            self._held[run_id] = Held(token, deadline, sent_at + self._interval, sent_at)
            self._lock.notify_all()

    def let_go(self, run_id: str) -> None:
        with self._lock:
            self._held.pop(run_id, None)

    def progress(self, run_id: str, progress: Mapping[str, Any]) -> None:
        with self._lock:
            held = self._held.get(run_id)
            if held is None:
                return
            held.progress = progress
            held.due = min(held.due, held.last_sent + PROGRESS_SECONDS)
            self._lock.notify_all()

    def stop(self, run_id: str, directive: str, message: str) -> None:
        with self._lock:
            is_held = self._held.pop(run_id, None) is not None
        if is_held:
            self._on_stop(run_id, directive, message)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._lock.notify_all()

    def run(self) -> None:
        """Beats until it is closed."""
        while True:
            with self._lock:
                if self._is_closed:
                    return
                now = time.monotonic()
                next_due = min((held.due for held in self._held.values()), default=now + 60)
                if next_due > now:
                    self._lock.wait(next_due - now)
                    continue
                # Those that are due soon come along: a request for each would cost more.
                soon = now + self._interval / 10
                due = {run_id: held for run_id, held in self._held.items() if held.due <= soon}
            runs = list(due.items())
            for at in range(0, len(runs), MAX_HEARTBEATS):
                self._beat(dict(runs[at : at + MAX_HEARTBEATS]))

    @property
    def _interval(self) -> float:
        return self._lease_seconds / 3

    def _beat(self, beats: Mapping[str, Held]) -> None:
        sent_at = moment()
        with self._lock:
            said = {run_id: None if held.omits_progress else held.progress for run_id, held in beats.items()}
            for held in beats.values():
                held.progress = held.progress if held.omits_progress else None
                held.omits_progress = False
                held.last_sent = sent_at[0]
                held.due = sent_at[0] + self._interval
        heartbeats = [
            {"workflowRunId": run_id, "leaseToken": held.token, "leaseSeconds": int(self._lease_seconds), **progress_of(said[run_id])}
            for run_id, held in beats.items()
        ]
        try:
            data = self._connection.request(HEARTBEAT_WORKFLOWS, {"input": {"heartbeats": heartbeats}}, ANSWER_SECONDS)
            results = success_of(data["heartbeatWorkflows"])["results"]
        except Exception as failure:
            # The leases last until their ends, and the next heartbeat may still renew them: soon, since this one did not, and without
            # what runs say, since a message that is refused, or takes a guard too long, must cost no lease.
            if not isinstance(failure, (UnansweredError, JobServerError)):
                log.exception("A heartbeat could not be sent.")
            with self._lock:
                for held in beats.values():
                    held.omits_progress = True
                    held.due = min(held.due, time.monotonic() + self._interval / 10)
            return
        for result in results:
            run_id, directive, error = result["workflowRunId"], result["directive"], result["error"]
            if directive != "CONTINUE":
                self.stop(run_id, directive, error["message"] if error else "The server said so.")
            else:
                self._extend(run_id, beats[run_id], sent_at)

    def _extend(self, run_id: str, held: Held, sent_at: tuple[float, float]) -> None:
        with self._lock:
            # Not of one that was let go meanwhile: its memory is another lease's.
            if self._held.get(run_id) is held:
                held.deadline.extend(sent_at, self._lease_seconds)


def progress_of(progress: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if progress is None else {"progress": progress}


def listen(connection: Connection, worker_id: str, renewer: LeaseRenewer, signal: Signal) -> None:
    """Listens to what the server tells the worker's runs. It is a hint: where the server refuses the stream for good, the worker works on."""
    while not signal.aborted:
        try:
            for item in follow(connection, WORKER_DIRECTIVES, {"workerId": worker_id}, "workerDirectives", signal):
                if item["directive"] != "CONTINUE":
                    renewer.stop(item["workflowRunId"], item["directive"], "The server said so.")
        except JobServerError as error:
            # Of another database, or no longer kept: begin anew, with the stops of the last quarter of an hour.
            if error.code != "CURSOR_EXPIRED":
                return
        except Exception:
            log.exception("The stream of stops broke; heartbeats still tell.")
        signal.wait(REOPEN_SECONDS)
