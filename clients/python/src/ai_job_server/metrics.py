"""What steps add to the metrics of their runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Literal, Mapping

Usage = Mapping[str, Any]

#: For whom a step's calls of models are made: for who plans the work, or for who does it.
TokenRole = Literal["planner", "executor"]

#: What a step may count, and how MetricsDelta names it.
_COUNTED = {"entities_read": "entitiesRead", "entities_written": "entitiesWritten", "validators_run_count": "validatorsRunCount"}
_TOKENS_OF = {"planner": "tokensPlanner", "executor": "tokensExecutor"}
_COUNTERS = ("inputTokens", "cachedInputTokens", "outputTokens", "reasoningTokens")
_MAX_COUNT = 2**53 - 1


@dataclass(frozen=True)
class Amount:
    """What one thing adds to the metrics of its run: a call of a model, or what a step has counted."""

    usage: Usage | None
    #: By the names of MetricsDelta.
    counts: Mapping[str, int]


def amount_of_call(usage: Usage, role: TokenRole | None = None) -> Amount:
    """A call of a model, all of whose tokens are those of its role, too; without one they are part of the total alone."""
    tokens = sum(usage.get(name) or 0 for name in _COUNTERS)
    return Amount(usage, {} if role is None else {_TOKENS_OF[role]: tokens})


def amount_of(**counts: int) -> Amount:
    """What a step has counted. Raises ValueError for what is no whole number from 0: the server would refuse the step for it, much later."""
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_COUNT:
            raise ValueError(f"{name} must be a whole number from 0.")
    return Amount(None, {_COUNTED[name]: value for name, value in counts.items()})


def calls_of(amounts: Iterable[Amount]) -> list[Usage]:
    """The calls of models among some amounts."""
    return [each.usage for each in amounts if each.usage is not None]


def sum_of(amounts: Iterable[Amount], duration_ms: int) -> dict[str, Any]:
    """All of some amounts, as a report brings them.

    The tokens in all are no part of it: the server adds them up from the usage.
    """
    all_of_them = list(amounts)
    counts: dict[str, int] = {}
    for each in all_of_them:
        for name, value in each.counts.items():
            counts[name] = counts.get(name, 0) + value
    return {"durationMs": duration_ms, "usage": calls_of(all_of_them), **counts}
