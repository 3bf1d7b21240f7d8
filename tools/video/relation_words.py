"""The words of the relation log: what a relation is, which predicates there are, and how relations are written down.

A relation says who did what to whom from when to when: {t0_s, t1_s, subject, predicate, object | None, strength, boxes}.
Strength is a number in the predicate's own unit (`PREDICATES`), so that "a little" and "a lot" can be told apart; boxes show
where, at the first, middle and last moment. Times are seconds of the clip, boxes xyxy absolute pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from core.errors import BadInput
from core.scores import Box

PREDICATES: dict[str, str] = {
    "appears": "boxes' score when first seen",
    "disappears": "boxes' score when last seen",
    "approaches": "share of the distance that was closed, 0 to 1",
    "recedes": "growth of the distance as a share of the new one, 0 to 1",
    "contacts": "largest overlap of the two boxes (IoU)",
    "separates": "distance afterwards in body sizes",
    "overlaps": "largest share of the smaller box that is covered",
    "falls": "how far the centre dropped, in body sizes",
    "accelerates": "speed as a multiple of its own usual speed",
    "stops": "usual speed before, in body sizes per second",
    "carries": "seconds",
    "leaves behind": "distance of the two afterwards in body sizes",
    "enters zone": "seconds inside",
    "leaves zone": "seconds inside before",
    "stays": "seconds in one place or zone",
    "runs": "speed in body sizes per second",
    "too close": "smallest distance in body sizes",
    "goes against the flow": "angle to the flow in degrees",
    "in a crowd": "people within the radius, itself included",
}
"""Every predicate and the unit of its strength."""


class Entity(NamedTuple):
    """A thing with a track (`id` is the track's), or a zone (`id` None, `label` its name)."""

    id: int | None
    label: str

    @property
    def words(self) -> str:
        """How the log names it.

        >>> Entity(3, "person").words, Entity(None, "door").words
        ('person 3', 'zone "door"')
        """
        return f'zone "{self.label}"' if self.id is None else f"{'thing' if self.label == 'moving' else self.label} {self.id}"

    @property
    def row(self) -> dict[str, int | str | None]:
        """As JSON values."""
        return {"id": self.id, "class": self.label}


class TimedBox(NamedTuple):
    """Where track `id` was at `time_s`."""

    time_s: float
    id: int
    box: Box


@dataclass(frozen=True, kw_only=True)
class Relation:
    """One row of the log, half-open [t0_s, t1_s).

    Raises:
        BadInput: an unknown predicate, or an end before the start.

    >>> Relation(t0_s=1.0, t1_s=2.5, subject=Entity(1, "person"), predicate="falls", strength=0.6).text
    '00:01.0–00:02.5 person 1 falls (0.6 body sizes down)'
    """

    t0_s: float
    t1_s: float
    subject: Entity
    predicate: str
    object: Entity | None = None
    strength: float
    boxes: tuple[TimedBox, ...] = ()

    def __post_init__(self) -> None:
        if self.predicate not in PREDICATES:
            raise BadInput(f"relation: expected a predicate among {', '.join(PREDICATES)}, got {self.predicate!r}.")
        if self.t1_s < self.t0_s:
            raise BadInput(f"relation {self.predicate!r}: expected t0 ≤ t1, got {self.t0_s!r} and {self.t1_s!r}.")

    @property
    def text(self) -> str:
        """One line: times, who, what, whom, how much."""
        times = minutes(self.t0_s)
        if self.t1_s - self.t0_s >= 0.05:
            times += f"–{minutes(self.t1_s)}"
        verb = _VERBS.get(self.predicate, self.predicate)
        whom = "" if self.object is None else f" {self.object.words}"
        if self.predicate == "stays" and self.object is not None:
            whom = f" in{whom}"
        measure = _MEASURES.get(self.predicate)
        how_much = f" ({measure.format(self.strength)})" if measure else ""
        return f"{times} {self.subject.words} {verb}{whom}{how_much}"

    @property
    def row(self) -> dict[str, Any]:
        """The relation as plain JSON values, rounded to what can be measured."""
        return {
            "t0": round(self.t0_s, 2),
            "t1": round(self.t1_s, 2),
            "subject": self.subject.row,
            "predicate": self.predicate,
            "object": None if self.object is None else self.object.row,
            "strength": round(self.strength, 2),
            "boxes": [{"t": round(b.time_s, 2), "id": b.id, "box": [round(v) for v in b.box]} for b in self.boxes],
        }


_VERBS = {
    "separates": "separates from",
    "recedes": "moves away from",
    "contacts": "touches",
    "enters zone": "enters",
    "leaves zone": "leaves",
    "too close": "is too close to",
    "in a crowd": "is in a crowd",
    "stays": "stays",
}
_MEASURES = {
    "falls": "{:.1f} body sizes down",
    "runs": "{:.1f} body sizes/s",
    "accelerates": "{:.1f} times its usual speed",
    "approaches": "{:.0%} nearer",
    "recedes": "{:.0%} farther",
    "leaves behind": "{:.1f} body sizes away",
    "stays": "{:.1f} s",
    "too close": "{:.1f} body sizes",
    "goes against the flow": "{:.0f}° off",
    "in a crowd": "{:.0f} people",
}


def minutes(time_s: float) -> str:
    """Seconds as mm:ss.s.

    >>> minutes(63.26), minutes(59.96)
    ('01:03.3', '01:00.0')
    """
    tenths = round(time_s * 10)
    return f"{tenths // 600:02d}:{tenths % 600 // 10:02d}.{tenths % 10}"


def as_text(relations: Iterable[Relation]) -> str:
    """The log a language model is shown: one relation per line, in time order.

    >>> one = Relation(t0_s=0.5, t1_s=0.5, subject=Entity(2, "moving"), predicate="appears", strength=0.9)
    >>> as_text([one])
    '00:00.5 thing 2 appears'
    """
    return "\n".join(relation.text for relation in relations)


def as_rows(relations: Iterable[Relation]) -> list[dict[str, Any]]:
    """The log as JSON values: t0, t1, subject, predicate, object, strength, boxes."""
    return [relation.row for relation in relations]


def in_order(relations: Iterable[Relation]) -> list[Relation]:
    """Sorted by start, end, subject, predicate and object: the same log for the same clip."""
    return sorted(relations, key=lambda r: (r.t0_s, r.t1_s, _key(r.subject), r.predicate, _key(r.object)))


def _key(entity: Entity | None) -> tuple[int, str]:
    return (-1, "") if entity is None else (entity.id if entity.id is not None else -1, entity.label)


def strongest(relations: Sequence[Relation], *, most: int) -> list[Relation]:
    """At most `most` rows for a short prompt: rare predicates first, long before short; in time order again.

    >>> one = Entity(1, "person")
    >>> rows = [Relation(t0_s=k, t1_s=k + 1, subject=one, predicate="appears", strength=1) for k in range(5)]
    >>> rows.append(Relation(t0_s=9.0, t1_s=9.5, subject=one, predicate="falls", strength=0.7))
    >>> [row.predicate for row in strongest(rows, most=2)]
    ['appears', 'falls']
    """
    count: dict[str, int] = {}
    for relation in relations:
        count[relation.predicate] = count.get(relation.predicate, 0) + 1
    ranked = sorted(relations, key=lambda r: (count[r.predicate], -(r.t1_s - r.t0_s), r.t0_s))
    return in_order(ranked[:most])
