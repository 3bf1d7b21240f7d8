"""Events of a stream: opened and closed while the scores come in, with a fixed amount of memory.

The counterpart of `core.segments` for scores that have no end yet. The score s of each unit, `unit_s` = p seconds after the one before,
is smoothed by what came before only: y ← a·s + (1 − a)·y with a = 1 − exp(−p / `tau_s`). An event opens at the second unit in a row
(`open_units`) with y ≥ `high`, and closes when y has been below `low` for two seconds (`close_s`).

Ours: an opened event begins where the unbroken run of units with y ≥ `low` that led to it began, as `core.segments` grows an event
backwards; it ends with the last such unit whose own score s was that high too, since after a strong event y takes seconds to fade. A unit
that was not judged (invalid, NaN) leaves y as it is, counts as below, and no two units across it are in a row; y then moves on by the
time that has passed. Where nothing comes for longer than both `close_s` and two units, an open event is closed: nobody saw how it went on.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, isfinite
from typing import TypeAlias

from core.errors import BadInput

TAU_S, OPEN_UNITS, CLOSE_S = 1.0, 2, 2.0
"""Smoothing in seconds, units in a row at or above the high threshold that open an event, seconds below the low one that close it."""
_TICK = 1e-6


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Event `number` (from 1) began at `start_s`, which was known at `at_s`; `score` is the smoothed score there."""

    number: int
    start_s: float
    at_s: float
    score: float


@dataclass(frozen=True, kw_only=True)
class Closed:
    """Event `number`: half-open seconds [start_s, end_s), its peak and mean (smoothed), known at `at_s`.

    `units` were judged in it. `cut`: the stream ended or was interrupted while it was open.
    """

    number: int
    start_s: float
    end_s: float
    peak_s: float
    peak: float
    mean: float
    units: int
    at_s: float
    cut: bool = False


Change: TypeAlias = Opened | Closed


@dataclass(eq=False)
class _Run:
    """Units at or above the low threshold without a break.

    `last_s` is the last of them, `end_s` the last whose own score was that high; what came since (`dip`) may yet become part of the event.
    """

    start_s: float
    last_s: float
    end_s: float
    peak_s: float
    peak: float
    total: float = 0.0
    count: int = 0
    dip_total: float = 0.0
    dip_count: int = 0

    def add(self, second: float, value: float) -> None:
        self.total, self.count = self.total + self.dip_total + value, self.count + self.dip_count + 1
        self.dip_total, self.dip_count = 0.0, 0
        self.last_s = self.end_s = second
        if value > self.peak:
            self.peak, self.peak_s = value, second

    def trail(self, value: float) -> None:
        self.dip_total, self.dip_count = self.dip_total + value, self.dip_count + 1


class CausalEvents:
    """Opens and closes events while scores come in.

    Args:
        unit_s: seconds per unit.
        high: smoothed score that opens an event.
        low: smoothed score below which it fades.
        tau_s: seconds over which the past is forgotten; 0: no smoothing.
        open_units: units in a row at or above `high` that open an event.
        close_s: seconds below `low` that close it.

    Raises:
        BadInput: a value out of range (at construction).

    >>> events = CausalEvents(unit_s=1.0, high=8.0, low=4.0, tau_s=0.0)
    >>> for second, score in enumerate([0.0, 5.0, 9.0, 9.0, 5.0, 0.0, 0.0, 0.0]):
    ...     for change in events.push(float(second), score):
    ...         print(type(change).__name__, change.start_s, change.at_s)
    Opened 0.5 3.0
    Closed 0.5 6.0
    """

    def __init__(
        self, *, unit_s: float, high: float, low: float, tau_s: float = TAU_S, open_units: int = OPEN_UNITS, close_s: float = CLOSE_S
    ) -> None:  # fmt: skip
        for name, value, good, expected in (
            ("unit_s", unit_s, isfinite(unit_s) and unit_s > 0, "> 0"),
            ("high", high, isfinite(high), "a finite number"),
            ("low", low, isfinite(low) and low <= high, "at most `high`"),
            ("tau_s", tau_s, isfinite(tau_s) and tau_s >= 0, "≥ 0"),
            ("open_units", open_units, open_units >= 1, "≥ 1"),
            ("close_s", close_s, isfinite(close_s) and close_s >= 0, "≥ 0"),
        ):
            if not good:
                raise BadInput(f"events of a stream: expected {name} {expected}, got {value!r}.")
        self.unit_s, self.high, self.low = unit_s, high, low
        self.tau_s, self.open_units, self.close_s = tau_s, open_units, close_s
        self.level: float | None = None
        """The smoothed score so far; None before the first unit that was judged."""
        self._judged_s = self._seen_s = -float("inf")
        self._in_a_row = 0
        self.count = 0
        """Events so far."""
        self._run: _Run | None = None
        self._open = False

    @property
    def open(self) -> bool:
        """Whether an event is open."""
        return self._open

    @property
    def rising(self) -> bool:
        """Whether an event is open, or the units lately seen would belong to one that opens next."""
        return self._run is not None

    def push(self, second: float, score: float, *, valid: bool = True) -> tuple[Change, ...]:
        """Take the unit whose centre is at `second`; return what opened or closed by it.

        Raises:
            BadInput: `second` is not finite, or not later than the unit before.
        """
        if not isfinite(second) or second <= self._seen_s:
            raise BadInput(f"events of a stream: expected a time after {self._seen_s!r} s, got {second!r}.")
        changes: list[Change] = list(self.elapse(second))
        if self._lost(second):
            self._forget()
        self._seen_s = second
        if not valid or not isfinite(score):
            self._in_a_row = 0
            if self._open:
                return (*changes, *self._fade(second))
            self._run = None
            return tuple(changes)
        value = self.level = self._smoothed(second, score)
        self._judged_s = second
        self._in_a_row = self._in_a_row + 1 if value >= self.high else 0
        if value >= self.low:
            if self._run is None:
                self._run = _Run(second - self.unit_s / 2, second, second, second, value)
                self._run.add(second, value)
            elif score >= self.low:
                self._run.add(second, value)
            else:
                self._run.last_s = second
                self._run.trail(value)
            if not self._open and self._in_a_row >= self.open_units:
                self._open, self.count = True, self.count + 1
                changes.append(Opened(number=self.count, start_s=self._run.start_s, at_s=second, score=value))
        elif self._open and self._run is not None:
            self._run.trail(value)
            changes += self._fade(second)
        else:
            self._run = None
        return tuple(changes)

    def elapse(self, second: float) -> tuple[Closed, ...]:
        """Say that it is `second` and nothing came: an open event is closed when that has lasted too long."""
        if self._open and self._lost(second):
            return self._end(second, cut=True)
        return ()

    def finish(self) -> tuple[Closed, ...]:
        """Close what is open: the stream is over."""
        return self._end(self._seen_s, cut=True) if self._open else ()

    def _smoothed(self, second: float, score: float) -> float:
        if self.level is None or self.tau_s == 0:
            return score
        share = 1 - exp(-(second - self._judged_s) / self.tau_s)
        return share * score + (1 - share) * self.level

    def _lost(self, second: float) -> bool:
        """Whether nothing came for too long before `second`."""
        return second - self._seen_s > max(self.close_s, 2 * self.unit_s) + _TICK

    def _fade(self, second: float) -> tuple[Closed, ...]:
        assert self._run is not None
        return self._end(second) if second - self._run.last_s >= self.close_s - _TICK else ()

    def _end(self, second: float, *, cut: bool = False) -> tuple[Closed, ...]:
        run = self._run
        assert run is not None
        closed = Closed(
            number=self.count, start_s=run.start_s, end_s=run.end_s + self.unit_s / 2, peak_s=run.peak_s, peak=run.peak,
            mean=run.total / run.count, units=run.count, at_s=second, cut=cut,
        )  # fmt: skip
        self._forget()
        return (closed,)

    def _forget(self) -> None:
        self._open, self._run, self._in_a_row = False, None, 0
