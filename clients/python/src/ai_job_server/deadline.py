"""Until when a lease lasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .clock import moment


class Memory(Protocol):
    """Numbers that threads share; with `isolate`, processes."""

    def __getitem__(self, at: int, /) -> float: ...

    def __setitem__(self, at: int, number: float, /) -> None: ...


@dataclass(frozen=True)
class Deadline:
    """Until when a lease surely lasts, on both clocks. Shared memory: a thread that was held up must know it before anything else."""

    memory: Memory
    #: Where in the memory: the steady clock's, and then the wall's.
    at: int

    def extend(self, sent_at: tuple[float, float], seconds: float) -> None:
        """Counts from when a claim or a heartbeat was sent: the server counts from when it heard it, so this is never late."""
        steady, wall = sent_at
        if steady + seconds > self.memory[self.at]:
            self.memory[self.at], self.memory[self.at + 1] = steady + seconds, wall + seconds

    def seconds_left(self) -> float:
        steady, wall = moment()
        return min(self.memory[self.at] - steady, self.memory[self.at + 1] - wall)

    def clear(self) -> None:
        self.memory[self.at] = self.memory[self.at + 1] = 0.0
