"""The words of a question: what the chat knows when it is asked (`Context`) and what was understood of it (`Request`).

Times are seconds of the named source's own time base: seconds from its start ("clock" and "elapsed") or rows ("index").
Samples and findings are counted from 0 here; people count from 1, and the parser translates. Everything is frozen, and a
`Request` turns into plain values and back, so that a chat can be stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from core.samples import Kind, TimeBase

Intent: TypeAlias = Literal[
    "overview", "what", "when", "where", "which", "who", "why", "how_bad", "how_many", "compare", "show", "exists", "is_normal",
    "list", "explain", "export", "define_rule", "help", "greeting", "undo", "reset", "unsupported",
]  # fmt: skip
INTENTS: tuple[Intent, ...] = (
    "overview", "what", "when", "where", "which", "who", "why", "how_bad", "how_many", "compare", "show", "exists", "is_normal",
    "list", "explain", "export", "define_rule", "help", "greeting", "undo", "reset", "unsupported",
)  # fmt: skip
Polarity: TypeAlias = Literal["anomaly", "normal"]
View: TypeAlias = Literal["heatmap", "frame", "curve", "table"]
Language: TypeAlias = Literal["en", "de", "fr", "es", "other"]
Expects: TypeAlias = Literal["normal", "abnormal", "either"]
DecidedBy: TypeAlias = Literal["rules", "follow-up", "reader", "default"]
ReferenceKind: TypeAlias = Literal[
    "evidence", "number", "ordinal", "last", "next", "previous", "worst", "mildest", "it", "label", "all"
]


class EntityIndex:
    r"""Names that occur in an event log (processes, users, addresses, files), found by what a person types of them.

    A name is found by its full text, by the last part of a path, and by that without its extension; case does not matter.

    >>> index = EntityIndex.of(["C:\\Windows\\lsass.exe", "alice", "10.0.0.5"])
    >>> index.find("LSASS"), index.find("10.0.0.5"), index.find("bob")
    (('C:\\Windows\\lsass.exe',), ('10.0.0.5',), ())
    """

    def __init__(self, keys: Mapping[str, tuple[str, ...]]) -> None:
        self._keys = keys

    @classmethod
    def of(cls, names: Iterable[str]) -> EntityIndex:
        """Index `names` once; later look-ups cost one dictionary access."""
        keys: dict[str, list[str]] = {}
        for name in dict.fromkeys(names):
            full = name.strip().lower()
            if not full:
                continue
            last = full.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
            for key in dict.fromkeys((full, last, last.rsplit(".", 1)[0] if last.endswith(_EXTENSIONS) else last)):
                if key:
                    keys.setdefault(key, []).append(name)
        return cls({key: tuple(found) for key, found in keys.items()})

    def find(self, typed: str) -> tuple[str, ...]:
        """Every name that `typed` stands for, in the order of the log; empty when none does."""
        return self._keys.get(typed.strip().lower(), ())

    def keys(self) -> Iterable[str]:
        """What can be typed (lower case)."""
        return self._keys.keys()

    def __len__(self) -> int:
        return len(self._keys)


_EXTENSIONS = (".exe", ".dll", ".sys", ".ps1", ".bat", ".cmd", ".sh", ".py", ".service", ".scr", ".vbs", ".js")
NO_ENTITIES = EntityIndex({})


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """What a question may name of one source in the chat.

    `samples` are file names (photos, scans), in order; `channels`/`units` belong to series; `duration_s` is in the source's time
    base (rows when that is "index"); `fps` belongs to video. `row_s` maps a row as a person counts it (1-based) to seconds, where
    the rows are not `period_s` apart. `epoch_s` is when second 0 was (seconds since 1970 UTC), if anybody knows.
    """

    name: str
    kind: Kind
    samples: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    duration_s: float | None = None
    fps: float | None = None
    period_s: float | None = None
    epoch_s: float | None = None
    time_base: TimeBase = "elapsed"
    row_s: Callable[[int], float] | None = field(default=None, compare=False, repr=False)
    entities: EntityIndex = field(default=NO_ENTITIES, compare=False, repr=False)

    @property
    def timed(self) -> bool:
        """True when the source has a time axis."""
        return self.kind in ("video", "series", "events")


@dataclass(frozen=True, kw_only=True)
class PriorFinding:
    """One anomaly of the last answer, as light as a follow-up question needs it."""

    label: str
    source: str
    sample: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    severity_score: float = 0.0
    channels: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SampleRef:
    """One photo or scan: its source and its name there."""

    source: str
    sample: str


@dataclass(frozen=True, kw_only=True)
class TimeRange:
    """Half-open seconds [start_s, end_s) of `source`'s time base that the words `text` stand for.

    `point` is True when a moment was meant ("at 0:15"): then the range is as wide as the words are precise. `unit` says whether
    seconds, frames or rows were named, and `first`/`last` keep the numbers as typed for the latter. `mention` counts the
    expressions of the question from 0: a comparison of two stretches of time has mentions 0 and 1.
    """

    source: str
    start_s: float
    end_s: float
    text: str
    point: bool = False
    unit: Literal["s", "frame", "row"] = "s"
    first: int | None = None
    last: int | None = None
    mention: int = 0


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Words that point at an earlier finding or evidence; `findings` are indices into `Context.findings` (empty: unresolved)."""

    kind: ReferenceKind
    text: str
    number: int | None = None
    findings: tuple[int, ...] = ()
    evidence: str | None = None


@dataclass(frozen=True, kw_only=True)
class RuleDraft:
    """A definition the person gave: the sentence, what it is about, and whether that is abnormal or normal here."""

    text: str
    subject: str
    polarity: Polarity


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one message asks for. Every note is a sentence that can be told to the person.

    `sensitivity` is +1 (find more), -1 (find less) or 0; `min_severity` is 0–3. `negation` is True when the question asks for
    what is *not* abnormal; `expects` what a yes means in a yes-or-no question ("is it broken?": abnormal). `unknown` are names
    that were typed but belong to nothing in the chat. `reason` says why a request is unsupported. `inherited` names the fields
    taken over from the previous question. `way` is what was heard to answer it (`agent.reader`); empty where the words decide. `rings` is
    how many steps from an incident the graph of a log is to be drawn (None: not asked for).
    """

    question: str
    intents: tuple[Intent, ...]
    sources: tuple[str, ...] = ()
    samples: tuple[SampleRef, ...] = ()
    channels: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    times: tuple[TimeRange, ...] = ()
    references: tuple[Reference, ...] = ()
    concept: str | None = None
    limit: int | None = None
    sensitivity: int = 0
    min_severity: int = 0
    negation: bool = False
    expects: Expects = "either"
    rule: RuleDraft | None = None
    view: View | None = None
    export_format: str | None = None
    cut: bool = False
    reason: str | None = None
    rings: int | None = None
    unknown: tuple[str, ...] = ()
    language: Language = "en"
    decided_by: DecidedBy = "rules"
    way: str = ""
    inherited: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[int, ...]:
        """Indices of the earlier findings that the references point at, each once, in order."""
        return tuple(dict.fromkeys(index for reference in self.references for index in reference.findings))

    @property
    def targeted(self) -> bool:
        """True when the message named anything to look at."""
        return bool(self.samples or self.channels or self.entities or self.times or self.references or self.sources)

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Request:
        """Rebuild what `to_json` gave.

        >>> request = Request(question="why?", intents=("why",), samples=(SampleRef(source="a", sample="b.png"),))
        >>> import json
        >>> Request.from_json(json.loads(json.dumps(request.to_json()))) == request
        True
        """
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
        values["samples"] = tuple(SampleRef(**item) for item in data.get("samples", ()))
        values["times"] = tuple(TimeRange(**item) for item in data.get("times", ()))
        values["references"] = tuple(
            Reference(**{**item, "findings": tuple(item["findings"])}) for item in data.get("references", ())
        )
        rule = data.get("rule")
        values["rule"] = RuleDraft(**rule) if rule else None
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the chat knows when a question comes in.

    `sources` in the order they were given, `previous` requests (latest last), `findings` of the last answer in the order they
    were shown, `now` in seconds since 1970 UTC (used only where it falls into the data). `fresh` are sources given with this
    question beside older ones: a question that names nothing is about them.
    """

    sources: tuple[SourceInfo, ...] = ()
    previous: tuple[Request, ...] = ()
    findings: tuple[PriorFinding, ...] = ()
    now: float | None = None
    fresh: tuple[str, ...] = ()

    def source(self, name: str) -> SourceInfo | None:
        """The source called `name`, or None."""
        return next((source for source in self.sources if source.name == name), None)
