"""How a handler is told to stop."""

from __future__ import annotations

import logging
import threading
from typing import Callable

log = logging.getLogger("ai_job_server")


class Signal:
    """Aborted once, with a reason, which every thread may look at or wait for."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._reason: BaseException | None = None
        self._count = 0

    @property
    def aborted(self) -> bool:
        """Whether whoever looks must stop."""
        return self._event.is_set()

    @property
    def reason(self) -> BaseException | None:
        """Why: Stopped, GivenBack or Waiting; None before."""
        return self._reason

    def throw_if_aborted(self) -> None:
        """Raises the reason, once there is one."""
        if self._reason is not None:
            raise self._reason

    def wait(self, seconds: float | None = None) -> bool:
        """Waits until it is aborted, for so long at most. Returns whether it is."""
        return self._event.wait(seconds)

    def on_abort(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Has a function called in a thread of its own once it is aborted, at once where it is already.

        Returns a function that takes it back.
        """
        return self.call_on_abort(lambda: threading.Thread(target=call, args=(callback,), daemon=True).start())

    def call_on_abort(self, callback: Callable[[], None]) -> Callable[[], None]:
        """The same for a callback of the kit's that takes no time, in the thread that aborts."""
        with self._lock:
            is_late = self._event.is_set()
            if not is_late:
                self._count += 1
                number = self._count
                self._callbacks[number] = callback
        if is_late:
            call(callback)
            return lambda: None
        return lambda: self._take_back(number)

    def abort(self, reason: BaseException) -> None:
        """Aborts it; the first reason counts."""
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
            self._event.set()
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            call(callback)

    def _take_back(self, number: int) -> None:
        with self._lock:
            self._callbacks.pop(number, None)


def call(callback: Callable[[], None]) -> None:
    """Calls it; what it raises is nobody's who aborts."""
    try:
        callback()
    except Exception:
        log.exception("What was to be done at the end of a run went wrong.")
