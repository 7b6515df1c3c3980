"""What goes wrong, and what ends a handler."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Mapping


class JobServerError(Exception):
    """The server refused, and nothing of the request was kept. `code` says why, as one of a list; the message says what to do."""

    def __init__(self, code: str, message: str, *, directive: str | None = None, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        #: What a worker must do now; None where its run goes on, or nobody works.
        self.directive = directive
        #: What else the server says: `path` and `issues` for INVALID_INPUT, `freesAt` for BUDGET_EXCEEDED, `retryAfterMs` for RATE_LIMITED.
        self.details: Mapping[str, Any] = details or {}


class UnansweredError(Exception):
    """No answer came, or none that can be read: nobody knows whether the server has done what it was asked."""


class Stopped(Exception):
    """The run must stop: what its handler does from then on counts no more, and nothing of it is reported."""

    def __init__(self, directive: str, message: str, code: str | None = None) -> None:
        super().__init__(message)
        #: Why: STOP_CANCELLED, STOP_FAILED, STOP_POISONED or STOP_LEASE_LOST.
        self.directive = directive
        #: The code of the refusal that said so; None where it came another way.
        self.code = code


class GivenBack(Exception):
    """The worker stops, and has given the job back: another one goes on from the steps that are done."""


class Waiting(Exception):
    """The run has ended, because the job waits: for an answer, its children or a time.

    The handler is called again from its beginning once that is there. Do not catch it; if you must, raise it again.
    """


class CannotBeDone(Exception):
    """Raise it where another attempt would fail in the same way: the job fails for good."""


class RetryAfter(Exception):
    """Raise it where the job should be tried again, but not before a time, which has a time zone and is at most 24 hours ahead."""

    def __init__(self, at: datetime, message: str) -> None:
        super().__init__(message)
        if at.tzinfo is None:
            raise ValueError("The time needs a time zone, such as datetime.now(timezone.utc) has.")
        self.at = at
