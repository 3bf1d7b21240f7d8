"""A second opinion on unsure moments of a video, from the chat's model when it can see: one call an event, never one a frame.

Routed to the model is what a detector leaves near its threshold on either side (SlowFastVAD's routing, spec §6.10). It describes first
and then answers normal, abnormal or insufficient (PANDA's three states, NeurIPS 2025); where it finds the pictures insufficient it is
shown the place enlarged and with more contrast, once. The detector's verdict stands: models alone do worse than detectors on subtle
scenes, so what the model makes of a moment is told beside it. It is kept by finding and model, so that asking again costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from agent.examine.video import frame_at
from agent.investigation import Finding, Investigation
from agent.telling.words import moment
from core.errors import ModelOutputError
from core.evidence import Box, Evidence, Interval
from core.samples import VideoClip
from models.chat.failures import reason
from prompts.loader import render
from readers.open import Source

if TYPE_CHECKING:
    from agent.evidence_store import EvidenceStore
    from agent.narration.voice import Voice
    from agent.steps import Steps

TOOL = "second_opinion"
VERSION = "1"
"""Raised when the question changes, so that old opinions are not taken for answers to the new one."""
UNSURE_FROM, UNSURE_TO = 0.75, 1.5
"""Peaks this many times as far from the usual as the threshold are unsure."""
MOST_ASKED = 3
"""Moments the model is asked about in one turn, the nearest to the threshold first."""
MOST_PICTURES = 6
CLOSER = 3
"""Enlarged pictures of a second round."""
GROWN = 0.4
"""Share of its sides by which a box grows on each side before it is enlarged."""
LONGEST_SEEN, LONGEST_ANSWER = 120, 2_000

Status = Literal["normal", "abnormal", "insufficient"]
_Pixels = NDArray[np.uint8]
_STATUS = re.compile(r"^\W*status\W+(normal|abnormal|insufficient)\b", re.IGNORECASE | re.MULTILINE)
_SEEN = re.compile(r"^\W*seen\W+(.+)$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What a model makes of a moment, and what it says it sees (empty where that cannot be repeated)."""

    status: Status
    seen: str

    def sentence(self, at: Interval, judge: str, *, abnormal: bool) -> str:
        """Said beside the detector's verdict.

        >>> at = Interval(sample="a.mp4", start_s=12.0, end_s=15.0, peak_s=13.0)
        >>> Opinion(status="normal", seen="a van passes").sentence(at, "the model eyes", abnormal=True).split(". ")[0]
        'The moment at 0:13 is only just beyond the threshold, so the model eyes was shown it: it looks normal to it (a van passes)'
        """
        side = "only just beyond the threshold" if abnormal else "not far below the threshold"
        sees = f" ({self.seen})" if self.seen else ""
        said = f"it looks {self.status} to it" if self.status != "insufficient" else "it cannot tell from the pictures"
        return (
            f"The moment at {moment(at.peak_s)} is {side}, so {judge} was shown it: {said}{sees}. That is an opinion; the verdict above is "
            "the detector's."
        )


class SecondOpinion:
    """Asks the model of one chat about unsure moments."""

    def __init__(self, store: EvidenceStore, voice: Voice, steps: Steps, thread: str) -> None:
        self._store, self._voice, self._steps, self._thread = store, voice, steps, thread
        self._tried: set[str] = set()

    def on(self, investigations: Sequence[Investigation], sources: Sequence[Source], told: Collection[str]) -> list[Evidence]:
        """Opinions on the unsure moments among the evidence `told`, as numbered evidence; nothing without a model that can be asked.

        A model that fails says nothing, the step says why, and it is not asked about the same moment again in this chat.
        """
        if not self._voice.speaks:
            return []
        clips = {s.name: s for s in sources if s.kind == "video"}
        cases = [
            (f, clips[inv.source])
            for inv in investigations if inv.source in clips for f in inv.findings if f.evidence.id in told and unsure(f)
        ]  # fmt: skip
        cases.sort(key=lambda case: abs(_ratio(case[0]) - 1.0))
        new = [c for c in cases[:MOST_ASKED] if self._kept(*c) is None and self._key(*c) not in self._tried]
        self._tried |= {self._key(*case) for case in new}
        if new:
            self._ask(new)
        found = [(finding, opinion) for finding, source in cases if (opinion := self._kept(finding, source)) is not None]
        return self._store.add_evidence(self._thread, [self._evidence(*pair) for pair in found])

    def _ask(self, cases: Sequence[tuple[Finding, Source]]) -> None:
        done = 0
        with self._steps.step(TOOL, f"Showing unsure moments to {self._voice.name}") as step:
            try:
                for finding, source in cases:
                    opinion = self._opinion(finding, source)
                    self._store.cache(self._key(finding, source), asdict(opinion))
                    done += 1
                step["detail"] = f"{done} shown"
            except Exception as error:  # a server, a driver or a library: whatever it is, the detector's verdict stands
                step.update(detail=f"{reason(error)}; the detector's verdict stands alone", ok=False)

    def _opinion(self, finding: Finding, source: Source) -> Opinion:
        clip, at = source.samples[0], finding.evidence.locus
        assert isinstance(clip, VideoClip)
        assert isinstance(at, Interval)
        pictures = _seen_at(clip, _times(finding, at))
        said = self._answered(pictures, finding, closer=0)
        if said.status != "insufficient" or at.box is None:
            return said
        near = [enlarged(picture, at.box, clip) for picture in _seen_at(clip, _inside(at))]
        return self._answered([*pictures, *near], finding, closer=len(near))

    def _answered(self, pictures: Sequence[_Pixels], finding: Finding, *, closer: int) -> Opinion:
        from langchain_core.messages import HumanMessage

        from models.chat.messages import picture_block

        what = " ".join(str(finding.evidence.facts["what"]).replace("«", "'").replace("»", "'").split())
        asked = render(TOOL, pictures=len(pictures), what=what, closer=closer)
        blocks = [*(picture_block(pixels) for pixels in pictures), {"type": "text", "text": asked}]
        answer = ""
        for chunk in self._voice.model().stream([HumanMessage(content=blocks)]):  # type: ignore[arg-type]
            answer += str(chunk.text)
            self._steps.progress(TOOL, "characters written", len(answer), 0)
            if len(answer) > LONGEST_ANSWER:
                break
        return read_opinion(answer)

    def _kept(self, finding: Finding, source: Source) -> Opinion | None:
        body = self._store.cached(self._key(finding, source))
        return None if body is None else Opinion(**body)

    def _key(self, finding: Finding, source: Source) -> str:
        body = {**finding.evidence.to_json(), "id": "", "seconds": 0.0}
        parts = [TOOL, VERSION, self._voice.name, source.key, json.dumps(body, sort_keys=True)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _evidence(self, finding: Finding, opinion: Opinion) -> Evidence:
        at = cast(Interval, finding.evidence.locus)
        judge = f"the model {PurePath(self._voice.tier.name).name}"
        return Evidence(
            id="", tool=TOOL, version=VERSION, parameters={"model": self._voice.name}, source=finding.evidence.source, locus=at,
            path=finding.evidence.path,
            facts={"said": opinion.sentence(at, judge, abnormal=finding.abnormal), "status": opinion.status},
        )  # fmt: skip


def unsure(finding: Finding) -> bool:
    """True for a moment of a video whose peak is near the threshold, on either side."""
    return isinstance(finding.evidence.locus, Interval) and UNSURE_FROM <= _ratio(finding) <= UNSURE_TO


def read_opinion(text: str) -> Opinion:
    r"""Read what a model answered.

    What it sees is left out where it holds a digit: nothing a model counts was measured.

    Raises:
        ModelOutputError: no status is named.

    >>> read_opinion("Seen: a man climbs the fence.\nStatus: **Abnormal**")
    Opinion(status='abnormal', seen='a man climbs the fence')
    """
    found = _STATUS.search(text)
    if found is None:
        raise ModelOutputError(f"expected 'Status: normal, abnormal or insufficient', got {' '.join(text.split())!r:.80}.")
    said = _SEEN.search(text)
    seen = re.sub(r"[\[\]()`*_«»]", "", " ".join(said[1].split())).rstrip(" .") if said else ""
    return Opinion(status=cast(Status, found[1].lower()), seen="" if re.search(r"\d", seen) else seen[:LONGEST_SEEN])


def enlarged(picture: _Pixels, box: Box, clip: VideoClip) -> _Pixels:
    """The box of a frame with its surroundings, twice as large and with its contrast evened out (CLAHE on lightness)."""
    import cv2

    height, width = picture.shape[:2]
    scale = width / clip.width
    x0, y0, x1, y1 = (v * scale for v in box)
    dx, dy = GROWN * (x1 - x0), GROWN * (y1 - y0)
    left, top = max(0, int(x0 - dx)), max(0, int(y0 - dy))
    part = picture[top : max(top + 2, min(height, int(y1 + dy))), left : max(left + 2, min(width, int(x1 + dx)))]
    lab = cv2.cvtColor(cv2.resize(part, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(4, 4)).apply(np.ascontiguousarray(lab[..., 0]))
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)


def _ratio(finding: Finding) -> float:
    ratio: Any = finding.evidence.facts.get("times_threshold", 0.0)
    return float(ratio)


def _times(finding: Finding, at: Interval) -> list[float]:
    """The event's keyframes in order, the peak among them; for a single keyframe also a second before and after."""
    keyframes: Any = finding.evidence.facts.get("keyframes_s") or []
    times = sorted({*map(float, keyframes), at.peak_s})
    if len(times) < 3:
        times = sorted({max(0.0, at.peak_s - 1.0), *times, at.peak_s + 1.0})
    while len(times) > MOST_PICTURES:
        del times[0 if abs(times[0] - at.peak_s) > abs(times[-1] - at.peak_s) else -1]
    return times


def _inside(at: Interval) -> list[float]:
    return [float(t) for t in np.linspace(at.start_s, at.end_s, CLOSER + 2)[1:-1]]


def _seen_at(clip: VideoClip, times: Sequence[float]) -> list[_Pixels]:
    frames = [frame_at(clip, min(max(t, 0.0), clip.duration_s)) for t in times]
    return [frame.rgb for frame in frames if frame is not None]
