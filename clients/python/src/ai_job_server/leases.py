"""Leases, and the keeper that renews them beside the handlers."""

from __future__ import annotations

import threading
from queue import Queue
from typing import Any, Callable, Mapping

from .connection import Connection
from .errors import JobServerError, Stopped
from .deadline import Deadline, Memory
from .renewer import LeaseRenewer, listen
from .keeper_process import KeeperProcess
from .signals import Signal

BY_OWN_CLOCK = "By the worker's own clock, the lease may be over."


class Lease:
    """A lease as its run sees it; the keeper renews it."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        #: Aborted, with Stopped, once nothing more may be done under the lease.
        self.signal = Signal()

    def throw_if_over(self) -> None:
        """To be called before a step begins and before a report counts. Raises Stopped where the lease is over, or may be."""
        if self.deadline.seconds_left() <= 0:
            self.stop("STOP_LEASE_LOST", BY_OWN_CLOCK)
        self.signal.throw_if_aborted()

    def stop(self, directive: str, message: str, code: str | None = None) -> None:
        self.signal.abort(Stopped(directive, message, code))

    def refuse(self, error: JobServerError) -> BaseException:
        """To be called with the refusal of a report. Returns what to raise: why the run must stop, or the refusal."""
        if error.directive is None or error.directive == "CONTINUE":
            return error
        self.stop(error.directive, str(error), error.code)
        return self.signal.reason or error


class LeaseKeeper:
    """The leases of a worker. Two threads beside those of its handlers renew them; with `isolate` a process of its own, for
    handlers that hold the interpreter's lock for long."""

    def __init__(self, connection: Connection, worker_id: str, lease_seconds: int, max_leases: int, isolate: bool, on_broken: Callable[[], None]) -> None:
        self._leases: dict[str, Lease] = {}
        self._lease_seconds = lease_seconds
        self._signal = Signal()
        # A place is free again only once the keeper has let go of it.
        places = 2 * max_leases
        self._process: KeeperProcess | None = None
        if isolate:
            self._process = KeeperProcess(connection, worker_id, lease_seconds, places, self._on_stop, self._on_let_go, on_broken)
            memory: Memory = self._process.memory
        else:
            memory = [0.0] * (2 * places)
            self._renewer = LeaseRenewer(connection, lease_seconds, self._on_stop)
            threading.Thread(target=self._renewer.run, name="ai-job-server leases", daemon=True).start()
            listening = (connection, worker_id, self._renewer, self._signal)
            threading.Thread(target=listen, args=listening, name="ai-job-server stops", daemon=True).start()
        self._deadlines: dict[str, Deadline] = {}
        self._free = Queue[Deadline]()
        for place in range(places):
            self._free.put(Deadline(memory, 2 * place))

    def hold(self, run_id: str, token: str, sent_at: tuple[float, float]) -> Lease:
        deadline = self._deadlines[run_id] = self._free.get()
        deadline.clear()
        deadline.extend(sent_at, self._lease_seconds)
        lease = self._leases[run_id] = Lease(deadline)
        if self._process:
            self._process.send("hold", run_id, token, sent_at[0], deadline.at)
        else:
            self._renewer.hold(run_id, token, sent_at[0], deadline)
        threading.Thread(target=self._watch, args=(run_id, lease), name=f"lease {run_id}", daemon=True).start()
        return lease

    def let_go(self, run_id: str) -> None:
        self._leases.pop(run_id, None)
        if self._process and self._process.is_alive:
            self._process.send("let_go", run_id)
            return
        if not self._process:
            self._renewer.let_go(run_id)
        self._on_let_go(run_id)

    def progress(self, run_id: str, progress: Mapping[str, Any]) -> None:
        if self._process:
            self._process.send("progress", run_id, dict(progress))
        else:
            self._renewer.progress(run_id, progress)

    def close(self) -> None:
        self._signal.abort(Stopped("STOP_LEASE_LOST", "The worker has ended."))
        if self._process:
            self._process.close()
        else:
            self._renewer.close()

    def _on_let_go(self, run_id: str) -> None:
        """The keeper writes the deadline no more, so that another lease may have its memory."""
        deadline = self._deadlines.pop(run_id, None)
        if deadline:
            self._free.put(deadline)

    def _on_stop(self, run_id: str, directive: str, message: str) -> None:
        lease = self._leases.get(run_id)
        if lease:
            lease.stop(directive, message)

    def _watch(self, run_id: str, lease: Lease) -> None:
        """Stops the work at the deadline, whether it asks or not."""
        while self._leases.get(run_id) is lease:
            left = lease.deadline.seconds_left()
            if left <= 0:
                return lease.stop("STOP_LEASE_LOST", BY_OWN_CLOCK)
            if lease.signal.wait(min(left, 1.0)):
                return
