"""What a definition in words is compiled to: one condition type per kind of data, as a validated schema.

Both tiers fill this schema, the embedded one by grammar and a language model as JSON, and the evaluators read nothing else. Values
are bounded and unknown fields refused, so that whatever a text says, a rule can only compare, count and match.
Times and durations are seconds; a length in a picture is that of the longer side of the region's box.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.rules import Polarity
from core.samples import Kind
from tools.events.wording import Deed

How: TypeAlias = Literal["above", "at least", "below", "at most", "between", "outside", "equal to", "not equal to", "on", "off"]
Measure: TypeAlias = Literal["value", "rise", "fall", "change", "gap", "flat"]
Predicate: TypeAlias = Literal[
    "is there", "enters", "leaves", "is near", "is too close to", "runs", "falls", "stays", "is left behind", "goes the wrong way",
    "crowds", "stops", "touches", "carries", "fights", "climbs", "is absent",
]  # fmt: skip
Place: TypeAlias = Literal[
    "upper", "lower", "left", "right", "centre", "edge", "upper left", "upper right", "lower left", "lower right"
]  # fmt: skip
Column: TypeAlias = Literal["subject", "user", "host", "address", "object"]
Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
Number: TypeAlias = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=3.2e8, allow_inf_nan=False)]
DEEDS: tuple[Deed, ...] = get_args(Deed)


class Part(BaseModel):
    """Base of the schema: frozen, and unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SeriesCondition(Part):
    """Readings of one channel: `channel` as said ("pressure", "sensor 4", "*" for any), compared with `low` (and `high`).

    `measure`: the value itself; its rise, fall or change within `within_s` (`rate`: scaled to that time where readings lie further
    apart) or within `within_rows` readings; a gap without readings; or flat, where it does not change at all. It must last longer than
    `for_s` (`for_at_least`: at least that long), or for `for_rows` readings in a row, and hold only while `when` holds. With `minus` the
    readings of that channel at the same moment are taken off first ("inlet above outlet").
    """

    kind: Literal["series"] = "series"
    channel: Text
    measure: Measure = "value"
    how: How = "above"
    low: Number = 0.0
    high: Number = 0.0
    unit: str = Field(default="", max_length=30)
    within_s: Seconds | None = None
    within_rows: int | None = Field(default=None, ge=2, le=10_000_000)
    rate: bool = False
    for_s: Seconds | None = None
    for_at_least: bool = False
    for_rows: int | None = Field(default=None, ge=1, le=10_000_000)
    when: SeriesCondition | None = None
    minus: Text | None = None

    @model_validator(mode="after")
    def _whole(self) -> SeriesCondition:
        if self.how in ("between", "outside") and self.low >= self.high:
            raise ValueError(f"{self.how!r} needs low < high, got {self.low:g} and {self.high:g}")
        if self.measure in ("rise", "fall", "change") and (self.within_s is None) == (self.within_rows is None):
            raise ValueError(
                f"measure {self.measure!r} needs within_s or within_rows, the seconds or readings in which it happens"
            )
        if self.measure in ("gap", "flat") and self.for_s is None and self.for_rows is None:
            raise ValueError(f"measure {self.measure!r} needs for_s or for_rows, how long it lasts")
        if self.when is not None and self.when.when is not None:
            raise ValueError("a 'when' may not have a 'when' of its own")
        return self


class Who(Part):
    """Somebody or something in a log: `said` in words, and the `names` it stands for (file names, accounts, addresses; * matches).

    Without names it is anybody; `besides` are names that are not meant ("anyone but svchost.exe").
    """

    said: Text
    names: tuple[Text, ...] = Field(default=(), max_length=200)
    besides: tuple[Text, ...] = Field(default=(), max_length=200)

    @model_validator(mode="after")
    def _whole(self) -> Who:
        if not self.names and not self.besides:
            raise ValueError("somebody in a log needs names or besides")
        return self


class EventCondition(Part):
    """Rows of an event log: who did what to what.

    `deeds` are acts (any of them); `concept` a thing logs tell of (failed logins, persistence …). `parent` started `subject`;
    `lineage` also counts its parents' parents. `text` must stand in the command line or message. `outside` keeps only addresses
    beyond the private networks. `count` rows within `within_s` seconds (of the whole log without it), counted together or by `by`;
    with `distinct`, so many different ones of it. `user_besides` is an account that is not meant.
    """

    kind: Literal["events"] = "events"
    subject: Who | None = None
    deeds: tuple[Deed, ...] = ()
    concept: str | None = Field(default=None, max_length=30)
    object: Who | None = None
    parent: Who | None = None
    lineage: bool = False
    user: Text | None = None
    user_besides: Text | None = None
    host: Text | None = None
    text: Text | None = None
    outside: bool = False
    count: int = Field(default=1, ge=1, le=10_000_000)
    within_s: Seconds | None = None
    by: Column | None = None
    distinct: Column | None = None

    @model_validator(mode="after")
    def _whole(self) -> EventCondition:
        from agent.lookups.log_concepts import CONCEPTS

        if not any((self.subject, self.deeds, self.concept, self.object, self.parent, self.user, self.user_besides, self.text)):
            raise ValueError("an event condition needs at least one of subject, deeds, concept, object, parent, user or text")
        if self.concept is not None and self.concept not in CONCEPTS:
            raise ValueError(f"concept {self.concept!r} is unknown; known: {', '.join(CONCEPTS)}")
        return self


class MotionCondition(Part):
    """What somebody or something does in a video: `subject` and `object` are labels ("person", "car"), `zone` the name of a zone.

    `seconds` is how long (for "stays", "is left behind"), `count` how many (for "crowds"), `distance` how close in the unit said.
    `with_attributes` and `without_attributes` are what the subject wears or holds.
    """

    kind: Literal["video"] = "video"
    predicate: Predicate = "is there"
    subject: Text
    object: Text | None = None
    zone: Text | None = None
    seconds: Seconds | None = None
    count: int | None = Field(default=None, ge=1, le=10_000)
    distance: Number | None = None
    unit: str = Field(default="", max_length=30)
    with_attributes: tuple[Text, ...] = ()
    without_attributes: tuple[Text, ...] = ()


class RegionCondition(Part):
    """Odd regions of a picture: `defect` is the kind of damage said ("scratch"), or empty for any.

    `measure` is the length of the region's longer side, its shorter one, its area, or how many regions there are; `unit` "mm", "px",
    "%" (of the picture) and the like. Without `how` every such region is meant.
    """

    kind: Literal["image"] = "image"
    defect: str = Field(default="", max_length=80)
    measure: Literal["length", "width", "area", "count"] = "length"
    how: Literal["above", "at least", "below", "at most", "between", "outside", "equal to"] | None = None
    low: Number = 0.0
    high: Number = 0.0
    unit: str = Field(default="", max_length=30)
    place: Place | None = None


class ConceptCondition(Part):
    """What a picture or a frame shows, in words: texts for abnormal and for normal, as in LaGoVAD.

    `visible` is False for a state, an action or a relation, which matching things by their names cannot tell.
    """

    kind: Literal["concept"] = "concept"
    abnormal: tuple[Text, ...] = Field(default=(), max_length=20)
    normal: tuple[Text, ...] = Field(default=(), max_length=20)
    visible: bool = False

    @model_validator(mode="after")
    def _whole(self) -> ConceptCondition:
        if not self.abnormal and not self.normal:
            raise ValueError("a concept condition needs abnormal or normal texts")
        return self


class FindingCondition(Part):
    """Findings like one that a person called normal here: same kind of data and what it was about.

    With `begins` the findings are those that begin with a program (`entities`, any of them): what it did, and what it started. Every
    field that is set must fit: `channels` the leading channel, `entities` the names in it, `box` a place in parts of the
    picture (0–1), `label` the words it was found under, `change` what a channel did, `looks` what was to be seen in a photo
    (`agent.examine.appearance.packed`).
    """

    kind: Literal["finding"] = "finding"
    data: Kind
    label: str = Field(default="", max_length=200)
    channels: tuple[Text, ...] = ()
    change: str = Field(default="", max_length=60)
    entities: tuple[Text, ...] = ()
    box: tuple[float, float, float, float] | None = None
    looks: str = Field(default="", max_length=200_000)
    begins: bool = False


Condition: TypeAlias = Annotated[
    SeriesCondition | EventCondition | MotionCondition | RegionCondition | ConceptCondition | FindingCondition,
    Field(discriminator="kind"),
]


class Hours(Part):
    """A part of the day in seconds since midnight UTC or the file's own clock; it may pass midnight (from 22:00 to 6:00).

    With `outside` all other times are meant ("outside working hours" is the night and the weekend).
    """

    said: Text
    from_s: float = Field(ge=0, le=86_400)
    to_s: float = Field(ge=0, le=86_400)
    days: tuple[Annotated[int, Field(ge=0, le=6)], ...] = ()
    """Days of the week (Monday is 0); empty: every day."""
    outside: bool = False


class Definition(Part):
    """A whole definition: any of `conditions` makes it fire, inside `hours` if given.

    `assumptions` are sentences about how words were read, `not_understood` the words that no condition takes into account.
    """

    polarity: Polarity
    severity: Annotated[int, Field(ge=0, le=3)] | None = None
    subject: Text
    conditions: tuple[Condition, ...] = Field(min_length=1, max_length=8)
    hours: Hours | None = None
    scope_said: str = Field(default="", max_length=120)
    assumptions: tuple[str, ...] = ()
    not_understood: tuple[str, ...] = ()


KIND_OF: dict[str, tuple[Kind, ...]] = {
    "series": ("series",), "events": ("events",), "video": ("video",), "image": ("image", "points"), "concept": ("image", "video"),
}  # fmt: skip
"""Which kinds of data a condition can be held against."""


def kinds_of(condition: Condition) -> tuple[Kind, ...]:
    """The kinds of data that a condition speaks about.

    >>> kinds_of(ConceptCondition(abnormal=("a bicycle",), visible=True))
    ('image', 'video')
    """
    return (condition.data,) if isinstance(condition, FindingCondition) else KIND_OF[condition.kind]
