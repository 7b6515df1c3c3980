"""Takes what a call of a model has used from what its provider answered.

Each token is counted once: cached ones not as input, reasoning not as output.
"""

from __future__ import annotations

import re
from typing import Any, Mapping

Loose = Mapping[str, Any]


def usage_of(response: Any, provider: str | None = None) -> dict[str, Any] | None:
    """What an answer of OpenAI, of an API that is compatible with it, or of Anthropic says of its usage; None for what is no such answer."""
    answer = _object(response)
    usage = _object(answer.get("usage"))
    if "input_tokens" in usage and (answer.get("type") == "message" or "cache_read_input_tokens" in usage):
        # Anthropic does not count cached tokens as input; what it writes to the cache was read as input.
        counters = {
            "inputTokens": _count(usage.get("input_tokens")) + _count(usage.get("cache_creation_input_tokens")),
            "cachedInputTokens": _count(usage.get("cache_read_input_tokens")),
            "outputTokens": _count(usage.get("output_tokens")),
            "reasoningTokens": 0,
        }
        known = "anthropic"
    elif "input_tokens" in usage:
        counters = _parts(usage, "input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details")
        known = "openai"
    elif "prompt_tokens" in usage:
        counters = _parts(usage, "prompt_tokens", "prompt_tokens_details", "completion_tokens", "completion_tokens_details")
        known = "openai"
    else:
        return None
    return {"provider": _name(provider or known)[:100], "model": _name(answer.get("model")), **counters, "costMicros": 0}


def _parts(usage: Loose, input_name: str, input_details: str, output_name: str, output_details: str) -> dict[str, int]:
    """Counters that do not overlap, of totals with a part in each."""
    all_input, all_output = _count(usage.get(input_name)), _count(usage.get(output_name))
    cached = min(_count(_object(usage.get(input_details)).get("cached_tokens")), all_input)
    reasoning = min(_count(_object(usage.get(output_details)).get("reasoning_tokens")), all_output)
    return {
        "inputTokens": all_input - cached,
        "cachedInputTokens": cached,
        "outputTokens": all_output - reasoning,
        "reasoningTokens": reasoning,
    }


def _object(value: Any) -> Loose:
    """A value as a mapping: a dict, or one of the objects of the providers' libraries."""
    if isinstance(value, Mapping):
        return value
    dump = getattr(value, "model_dump", None)
    dumped = dump() if callable(dump) else None
    return dumped if isinstance(dumped, Mapping) else {}


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53 else 0


def _name(value: Any) -> str:
    """A name that the server takes: it refuses others."""
    return re.sub(r"[^A-Za-z0-9._:/@+-]", "-", value)[:200] if isinstance(value, str) and value else "unknown"
