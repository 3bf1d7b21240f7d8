"""Which detector for which source, and why: the choice is part of the answer.

One photo alone → the photo's own recurring patches; several unlabelled photos → each against the others; normal photos given →
search in their patches, and of more than a few also the photo as a whole; video, series and event logs → their detector, against normal
data when given, else against themselves. A detector that the person named goes before all that, where it can judge what was given. A
language model may ask for more (`agent.model_planner`); what is chosen here runs in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.detector import DetectorSpec
from core.samples import Kind
from readers.open import Source
from tools.catalog import catalogue

WHOLE_FROM = 9
"""Fewer normal photos than this do not say how photos differ as a whole; up to there patch search turns and mirrors them."""
MUTUAL_FROM = 3
"""Fewer photos than this cannot vote on what is normal."""


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """Run `detector` on source number `source` (index into the chat's sources), with the normals of the same kind.

    With a `question`, no detector runs: that question is looked up in the source. Of a long video that was skimmed, `whole` reads the
    rest, and `windows` (start, end in seconds) are read in full (`agent.long_looks`).
    """

    detector: str
    source: int
    reason: str
    question: str = ""
    whole: bool = False
    windows: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        # plain values come back as lists
        object.__setattr__(self, "windows", tuple((start_s, end_s) for start_s, end_s in self.windows))

    @property
    def closer(self) -> bool:
        """True when it looks closer at what was skimmed."""
        return self.whole or bool(self.windows)

    @property
    def plain(self) -> ToolCall:
        """The same call as fixed rules choose it."""
        return replace(self, whole=False, windows=())


def choose(source: Source, index: int, normals: Sequence[Source], wanted: str = "") -> ToolCall | None:
    """The detector for one source, or None when no detector in the catalogue can judge its kind.

    `wanted` is the catalogue name of a detector that the person asked for; it is taken where nothing hinders it.
    """
    if wanted and not hindrance(catalogue()[wanted], source, normals):
        return ToolCall(detector=wanted, source=index, reason="you asked for it")
    n_normal = _count(normals, source.kind)
    chosen = _detector(source.kind, len(source.samples), n_normal)
    if chosen is None:
        return None
    detector, reason = chosen
    return ToolCall(detector=detector, source=index, reason=reason)


def hindrance(detector: DetectorSpec, source: Source, normals: Sequence[Source]) -> str:
    """What keeps a detector from judging a source, as the end of a sentence; empty when nothing does.

    >>> from tools.catalog import catalogue
    >>> log = Source(name="a.csv", kind="events", samples=(), sha256="")
    >>> hindrance(catalogue()["intrinsic"], log, ()), hindrance(catalogue()["rarity"], log, ())
    ('it judges image, not events', '')
    """
    if detector.kind != source.kind:
        return f"it judges {detector.kind}, not {source.kind}"
    if detector.labelled:
        return f"it learns from abnormal examples too: telltale detect {detector.name} INPUT --normal … --abnormal … --out DIR"
    if detector.needs_fit and not _count(normals, source.kind):
        return "it needs normal references, and none of this kind were given"
    if detector.transductive and len(source.samples) < MUTUAL_FROM:
        return f"it compares at least {MUTUAL_FROM} samples with each other, and there are {len(source.samples)}"
    return ""


def _count(normals: Sequence[Source], kind: Kind) -> int:
    """Normal samples of a kind."""
    return sum(len(normal.samples) for normal in normals if normal.kind == kind)


def _detector(kind: Kind, count: int, n_normal: int) -> tuple[str, str] | None:
    against = f"{n_normal} normal reference{'s' if n_normal != 1 else ''} of this kind"
    if kind == "image":
        if n_normal >= WHOLE_FROM:
            return (
                "consensus",
                f"you gave {against}: every patch can be looked up among normal ones, and the photo judged as a whole",
            )
        if n_normal:
            return "patch_search", f"you gave {against}, so every patch can be looked up among normal ones"
        if count >= MUTUAL_FROM:
            return "musc", "no normal photo was given, but there are several photos to compare with each other"
        return "intrinsic", "there is no normal photo and too few photos to compare, so the picture is judged by its own pattern"
    if kind == "points":
        if n_normal or count >= MUTUAL_FROM:
            given = f"you gave {against}" if n_normal else "they are several scans of one part to compare with each other"
            return "musc_v2", f"{given}; where the part lies differently in each, take it as a hint"
        return None
    if kind == "video":
        return (
            "frame_novelty",
            f"it can use {against}" if n_normal else "no normal clip was given, so the video is its own reference",
        )
    if kind == "series":
        return (
            "window_pca",
            f"it can use {against}" if n_normal else "no history was given, so the bulk of the series is the reference",
        )
    if kind == "events":
        return "rarity", f"it can use {against}" if n_normal else "no history was given, so the log itself says what is common"
    return None
