"""How fast a chat model answers: seconds to the first token, tokens, tokens per second.

Every tier measures with the same `Stopwatch` and hands the result on as `AIMessage.response_metadata["timing"]`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Speed of one answer. `first_token_s` counts from the request, waiting and retries included."""

    first_token_s: float
    total_s: float
    tokens: int
    tokens_per_s: float
    """Tokens after the first, over the seconds they took; 0 where there is only one."""

    def to_json(self) -> dict[str, float | int]:
        """Plain values, as kept in `response_metadata["timing"]`."""
        return asdict(self)


class Stopwatch:
    """Measures one answer: start it, call `token` for every piece that arrives, then `read`.

    >>> clock = iter([10.0, 10.5, 11.5, 12.0]).__next__
    >>> watch = Stopwatch(clock=clock)
    >>> watch.token(), watch.token(2)
    (None, None)
    >>> watch.read()
    Timing(first_token_s=0.5, total_s=2.0, tokens=3, tokens_per_s=2.0)
    """

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._start = clock()
        self._first: float | None = None
        self._last = self._start
        self._tokens = 0

    @property
    def started(self) -> bool:
        """Whether a token has come."""
        return self._first is not None

    def token(self, count: int = 1) -> None:
        """Count `count` tokens that have come by now."""
        self._last = self._clock()
        if self._first is None:
            self._first = self._last
        self._tokens += count

    def read(self, *, tokens: int | None = None) -> Timing:
        """The timing so far; `tokens` replaces the count by a better one (a server counts tokens, a stream has pieces)."""
        now = self._clock()
        count = self._tokens if tokens is None else tokens
        first = now if self._first is None else self._first
        span = self._last - first
        return Timing(
            first_token_s=round(first - self._start, 4),
            total_s=round(now - self._start, 4),
            tokens=count,
            tokens_per_s=round((count - 1) / span, 2) if span > 0 and count > 1 else 0.0,
        )


def speed(timing: Mapping[str, float]) -> str:
    """An answer's timing (as in `response_metadata`) for the step display; empty when it was not measured.

    >>> speed({"first_token_s": 0.84, "tokens_per_s": 31.2}), speed({})
    ('first token after 0.8 s, 31 tokens/s', '')
    """
    if "first_token_s" not in timing:
        return ""
    rate = f", {timing['tokens_per_s']:.0f} tokens/s" if timing.get("tokens_per_s") else ""
    return f"first token after {timing['first_token_s']:.1f} s{rate}"
