"""Sends again what may be sent again, and goes on with streams that broke off."""

from __future__ import annotations

import random
from typing import Any, Callable, Iterator, Mapping, TypeVar

from .connection import Connection
from .errors import JobServerError, UnansweredError
from .signals import Signal

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.05
MAX_PAUSE_SECONDS = 5.0
#: After these the same may be sent again, because nothing was kept, or what was kept counts once.
TRANSIENT = frozenset({"TRY_AGAIN", "INTERNAL_SERVER_ERROR", "RATE_LIMITED"})


def is_transient(error: BaseException) -> bool:
    """Whether the same request may get another answer a little later."""
    return isinstance(error, UnansweredError) or (isinstance(error, JobServerError) and error.code in TRANSIENT)


def pause_after(failures: int, error: BaseException) -> float:
    """How long to wait, in seconds, before the same is tried again, after so many failures in a row before this one."""
    wanted = error.details.get("retryAfterMs", 0) / 1000 if isinstance(error, JobServerError) else 0
    pause: float = min(FIRST_PAUSE_SECONDS * 2 ** min(failures, 20), MAX_PAUSE_SECONDS)
    return max(wanted, pause * random.uniform(0.5, 1))


def until_answered(attempt: Callable[[], T], signal: Signal) -> T:
    """Does something again and again, with pauses that grow, until it gets an answer that is final.

    Only for what counts once however often it arrives. Raises the reason of `signal`, once it is aborted.
    """
    failures = 0
    while True:
        signal.throw_if_aborted()
        try:
            return attempt()
        except (UnansweredError, JobServerError) as error:
            if not is_transient(error):
                raise
            signal.wait(pause_after(failures, error))
            failures += 1


def follow(
    connection: Connection,
    query: str,
    variables: Mapping[str, Any],
    field_name: str,
    signal: Signal,
    after: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Runs a subscription until it completes, over as many connections as that takes: each item comes once, and none is missed.

    Raises JobServerError where it is refused for good, CURSOR_EXPIRED included; ends once `signal` is aborted.
    """
    cursor, failures = after, 0
    while not signal.aborted:
        try:
            for data in connection.subscribe(query, {**variables, **({} if cursor is None else {"after": cursor})}, signal):
                failures = 0
                item = data[field_name]
                cursor = item["cursor"]
                yield item
            return
        except (UnansweredError, JobServerError) as error:
            if not is_transient(error):
                raise
            signal.wait(pause_after(failures, error))
            failures += 1
