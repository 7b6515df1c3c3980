"""A worker: claims jobs of the kinds that it has handlers for, and does them."""

from __future__ import annotations

import logging
import os
import signal as signals_of_process
import socket
import threading
import time
import uuid
from typing import Any, Callable, Mapping

from .clock import moment
from .connection import Connection, success_of
from .errors import JobServerError, Stopped, UnansweredError
from .leases import LeaseKeeper
from .operations import CLAIM_AI_JOBS
from .retry import is_transient, pause_after
from .run import Handler, RegisteredHandler, Run
from .signals import Signal
from .steps import PriceOf

log = logging.getLogger("ai_job_server")

#: How long a claim waits for a job, in seconds: as long as a worker that stops may have to wait for its answer.
CLAIM_SECONDS = 2


class Worker:
    """A worker. `handle` says what it does, and `run` begins.

    worker_id: the name under which it claims, different in each process; left out, one is made of the host's name.
    concurrency: how many jobs it works on at once, from 1 to 100.
    lease_seconds: for how long a job is claimed, and each renewal lasts, from 15 to 900. A network that is cut for less loses no job.
    drain_seconds: how long a worker that stops waits for its jobs before it gives them back.
    isolate: keeps the leases in a process of its own, for handlers that hold the interpreter's lock for long.
    price_of: what a call of a model cost, in millionths of the deployment's currency; left out, nothing is said of it.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        workspace_id: str | None = None,
        worker_id: str | None = None,
        concurrency: int = 1,
        lease_seconds: int = 60,
        drain_seconds: float = 20,
        isolate: bool = False,
        price_of: PriceOf = lambda usage: 0,
    ) -> None:
        if not 1 <= concurrency <= 100:
            raise ValueError("concurrency must be from 1 to 100.")
        if not 15 <= lease_seconds <= 900:
            raise ValueError("lease_seconds must be from 15 to 900.")
        self._connection = Connection(url, key, workspace_id)
        self.worker_id = worker_id or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._concurrency = concurrency
        self._lease_seconds = lease_seconds
        self._drain_seconds = drain_seconds
        self._isolate = isolate
        self._price_of = price_of
        self._handlers: dict[str, RegisteredHandler] = {}
        self._runs: dict[threading.Thread, Run] = {}
        self._changed = threading.Condition()
        self._stopping = Signal()
        self._is_running = False
        self._is_broken = False

    def handle(
        self, kind: str, *, inputs: Callable[[Any], Any] | None = None, outputs: Callable[[Any], Any] | None = None
    ) -> Callable[[Handler], Handler]:
        """Says who does the jobs of a kind, as a decorator.

        inputs, outputs: return the value as it is to be, or raise where it does not fit, such as a pydantic model's `model_validate`; a job
        whose inputs or outputs do not fit fails for good.
        """

        def register(handler: Handler) -> Handler:
            if kind in self._handlers:
                raise ValueError(f"There is a handler for {kind} already.")
            self._handlers[kind] = RegisteredHandler(handler, inputs, outputs)
            return handler

        return register

    def run(self) -> None:
        """Works until the process is told to stop (SIGTERM, SIGINT; in the main thread), or `stop` is called.

        Then it takes no more jobs, waits `drain_seconds` for those that it has, and gives back the others. Raises JobServerError where the
        server refuses the worker for good, such as for its key.
        """
        if self._is_running:
            raise RuntimeError("A worker runs once: make another one.")
        if not self._handlers:
            raise RuntimeError("This worker has no handler: say so by handle() before run().")
        self._is_running = True
        restore = self._listen_for_signals()
        keeper = LeaseKeeper(self._connection, self.worker_id, self._lease_seconds, self._concurrency, self._isolate, self._on_broken)
        try:
            self._claim_until_stopped(keeper)
        finally:
            self._drain()
            keeper.close()
            restore()
        if self._is_broken:
            raise RuntimeError("The process that kept the leases has ended.")

    def stop(self) -> None:
        """Takes no more jobs; `run` returns when those that it has are done or given back."""
        # From a thread of its own: a signal's handler may have interrupted whoever holds the lock.
        threading.Thread(target=self._stop, daemon=True).start()

    def _on_broken(self) -> None:
        log.error("No lease is renewed any more, so the worker stops.")
        self._is_broken = True
        self._stop()

    def _stop(self) -> None:
        self._stopping.abort(Stopped("STOP_LEASE_LOST", "The worker stops."))
        with self._changed:
            self._changed.notify_all()

    def _listen_for_signals(self) -> Callable[[], None]:
        if threading.current_thread() is not threading.main_thread():
            return lambda: None
        names = (signals_of_process.SIGTERM, signals_of_process.SIGINT)

        def on_signal(_number: int, _frame: Any) -> None:
            restore()
            self.stop()

        before = {name: signals_of_process.signal(name, on_signal) for name in names}

        def restore() -> None:
            for name, handler in before.items():
                signals_of_process.signal(name, handler)

        return restore

    def _claim_until_stopped(self, keeper: LeaseKeeper) -> None:
        failures = 0
        while not self._stopping.aborted:
            with self._changed:
                free = self._concurrency - len(self._runs)
                if free == 0:
                    self._changed.wait(1.0)
                    continue
            try:
                sent_at = moment()
                claims = self._claim(free)
                failures = 0
            except (UnansweredError, JobServerError) as error:
                if not is_transient(error):
                    raise
                log.warning("A claim was not answered: %s", error)
                self._stopping.wait(pause_after(failures, error))
                failures += 1
                continue
            for claim in claims:
                self._begin(keeper, claim, sent_at)

    def _claim(self, limit: int) -> list[Mapping[str, Any]]:
        """Not broken off when the worker stops: a job that the server hands out meanwhile would be leased to nobody, and its attempt charged.

        It waits for a few seconds only, and what it brings then is given back.
        """
        claim = {
            "workerId": self.worker_id,
            "jobKinds": list(self._handlers),
            "limit": limit,
            "leaseSeconds": self._lease_seconds,
            "waitSeconds": CLAIM_SECONDS,
        }
        return list(success_of(self._connection.request(CLAIM_AI_JOBS, {"input": claim}, CLAIM_SECONDS + 10)["claimAiJobs"])["claims"])

    def _begin(self, keeper: LeaseKeeper, claim: Mapping[str, Any], sent_at: tuple[float, float]) -> None:
        run_id = claim["workflowRun"]["workflowRunId"]
        lease = keeper.hold(run_id, claim["leaseToken"], sent_at)
        run = Run(self._connection, claim, lease, self._price_of, lambda progress: keeper.progress(run_id, progress))
        thread = threading.Thread(target=self._do, args=(keeper, claim, run), name=f"run {run_id}")
        with self._changed:
            self._runs[thread] = run
        if self._stopping.aborted:
            run.give_back()
        thread.start()

    def _do(self, keeper: LeaseKeeper, claim: Mapping[str, Any], run: Run) -> None:
        job = claim["job"]
        try:
            ending = run.do(self._handlers[job["jobKind"]])
            log.info("%s %s: %s", job["jobKind"], job["jobId"], ending)
        except Exception as error:
            log.error("%s %s: its end could not be reported: %s", job["jobKind"], job["jobId"], error)
        finally:
            with self._changed:
                del self._runs[threading.current_thread()]
                self._changed.notify_all()
            keeper.let_go(claim["workflowRun"]["workflowRunId"])

    def _drain(self) -> None:
        until = time.monotonic() + self._drain_seconds
        with self._changed:
            if self._runs:
                log.info("Stops; %d jobs are under way.", len(self._runs))
            self._changed.wait_for(lambda: not self._runs, timeout=max(until - time.monotonic(), 0))
            runs = dict(self._runs)
        for run in runs.values():
            run.give_back()
        for thread in runs:
            thread.join()
