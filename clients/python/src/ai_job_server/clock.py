"""Clocks, and times as the server reads them."""

from __future__ import annotations

import time
from datetime import datetime


def rfc3339(at: datetime) -> str:
    """A datetime as the server reads it."""
    return at.astimezone().isoformat(timespec="milliseconds")


def moment() -> tuple[float, float]:
    """A moment on two clocks: a steady one, which all processes of the machine share, and the wall's, which goes on while it sleeps."""
    return time.monotonic(), time.time()
