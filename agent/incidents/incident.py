"""Incidents: moments of different sources that overlap or follow one another, ordered by their onset.

Two moments of different sources belong together when they overlap or when at most `FOLLOWS_S` lie between them, and an incident is
everything that hangs together so (connected components). Which came first is said only where the difference is larger than what the
two clocks leave open. That one thing follows another shows no cause, so nothing here is called one; how often findings of the other
files lie as near by chance alone is measured beside it (`chance`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from agent.incidents.timeline import Moment, Timeline

FOLLOWS_S = 300.0
"""Seconds that may lie between two moments of one incident: within five minutes people ask whether the one belongs to the other."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A moment of an incident; it begins `after_s` after the one before, and `ordered` says whether the clocks settle that."""

    moment: Moment
    after_s: float = 0.0
    ordered: bool = True


@dataclass(frozen=True, kw_only=True)
class Incident:
    """Moments of at least two sources, by onset."""

    steps: tuple[Step, ...]

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The moments by onset."""
        return tuple(step.moment for step in self.steps)

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that saw it, in the order in which they did."""
        return tuple(dict.fromkeys(moment.source for moment in self.moments))


def together(one: Moment, other: Moment, *, within_s: float = FOLLOWS_S) -> bool:
    """True when moments of two sources overlap or at most `within_s` seconds lie between them.

    >>> spike = Moment(source="a", kind="series", evidence="E1", label="spike", start_s=0.0, end_s=60.0, own_s=0.0)
    >>> login = Moment(source="b", kind="events", evidence="E2", label="login", start_s=300.0, end_s=300.0, own_s=0.0)
    >>> together(spike, login), together(spike, login, within_s=100.0)
    (True, False)
    """
    gap = max(one.start_s, other.start_s) - min(one.end_s, other.end_s)
    return one.source != other.source and gap <= within_s


def group(moments: Sequence[Moment], *, within_s: float = FOLLOWS_S) -> tuple[tuple[Incident, ...], tuple[Moment, ...]]:
    """The incidents of a timeline by their onset, and the moments that belong to none."""
    ordered = sorted(moments, key=lambda moment: (moment.start_s, moment.source))
    parent = list(range(len(ordered)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i, j in combinations(range(len(ordered)), 2):
        if together(ordered[i], ordered[j], within_s=within_s):
            low, high = sorted((root(i), root(j)))
            parent[high] = low
    members: dict[int, list[Moment]] = {}
    for i, moment in enumerate(ordered):
        members.setdefault(root(i), []).append(moment)
    found = [Incident(steps=steps_of(part)) for part in members.values() if len(part) > 1]
    return tuple(found), tuple(part[0] for part in members.values() if len(part) == 1)


def steps_of(moments: Sequence[Moment]) -> tuple[Step, ...]:
    """Moments in the order of their onset, each with its lag behind the one before.

    >>> a = Moment(source="a", kind="video", evidence="E1", label="", start_s=10.0, end_s=20.0, own_s=10.0)
    >>> b = Moment(source="b", kind="events", evidence="E2", label="", start_s=11.5, end_s=11.5, own_s=11.5)
    >>> [(step.moment.source, step.after_s, step.ordered) for step in steps_of([b, a])]
    [('a', 0.0, True), ('b', 1.5, False)]
    """
    steps: list[Step] = []
    for moment in sorted(moments, key=lambda moment: (moment.start_s, moment.source)):
        if not steps:
            steps.append(Step(moment=moment))
            continue
        before = steps[-1].moment
        after = moment.start_s - before.start_s
        steps.append(Step(moment=moment, after_s=after, ordered=after > before.slack_s + moment.slack_s))
    return tuple(steps)


def chance(line: Timeline, source: str, *, others: Sequence[str], within_s: float = FOLLOWS_S) -> float | None:
    """Share (0–1) of the time that `source` has in common with the others in which any moment would lie with one of theirs.

    A high share says that such nearness means little. None where they have no time in common.
    """
    own = line.clock(source)
    clocks = [line.clock(other) for other in others]
    common = _joined([(max(own.start_s, c.start_s), min(own.end_s, c.end_s)) for c in clocks])
    near = _joined([(m.start_s - within_s, m.end_s + within_s) for m in line.moments if m.source in others])
    total = sum(b - a for a, b in common)
    if total <= 0:
        return None
    return sum(max(0.0, min(b, d) - max(a, c)) for a, b in common for c, d in near) / total


def _joined(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans without overlaps, in order; empty ones are left out."""
    joined: list[tuple[float, float]] = []
    for a, b in sorted(span for span in spans if span[1] > span[0]):
        if joined and a <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], b))
        else:
            joined.append((a, b))
    return joined
