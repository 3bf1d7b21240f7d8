"""The chat's model as a judge of how bad findings in pictures are, when it can see: the worst few, each once for good.

The detector has decided what is abnormal and graded it by what it measured; the judge's word replaces the level, and what was measured
orders findings within it (`agent.severity.grade`). A model that fails, cannot see or names no level leaves the grades as they are, and
the step says so; in the same chat it is not asked again. What a model judged is kept by finding and model, so that asking again costs
nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agent.examine.video import frame_at
from agent.investigation import Finding, Investigation
from agent.severity import Judgement, Severity, grade_moment, grade_region
from agent.severity_judge import MOST_REFERENCES, judge_severity
from core.errors import BadInput
from core.evidence import Evidence, Interval
from core.samples import ImageSample, VideoClip
from models.chat.failures import reason
from readers.open import Source

if TYPE_CHECKING:
    from agent.evidence_store import EvidenceStore
    from agent.narration.voice import Voice
    from agent.steps import Steps

VERSION = "1"
"""Raised when the question to the judge changes, so that old judgements are not taken for answers to the new one."""
MOST_JUDGED = 3
"""Findings that the model is asked about in one turn, of all sources: the worst."""

_Pixels = NDArray[np.uint8]


class SeverityJudge:
    """Judges the findings of one chat with its model."""

    def __init__(self, store: EvidenceStore, voice: Voice, steps: Steps) -> None:
        self._store, self._voice, self._steps = store, voice, steps
        self._tried: set[str] = set()

    def sees(self, kind: str) -> bool:
        """Whether there is a model, and something to show it in data of this kind."""
        return self._voice.speaks and kind in ("image", "video")

    def graded(self, inv: Investigation, source: Source, normals: Sequence[Source]) -> Investigation:
        """The investigation with the levels that the model has given its findings before."""
        if not self.sees(inv.kind):
            return inv
        kept = [self._kept(_Case(finding=f, source=source, normals=_alike(source, normals))) for f in inv.findings]
        findings = [f if j is None else _regraded(f, j, inv.survey) for f, j in zip(inv.findings, kept, strict=True)]
        return replace(inv, findings=tuple(findings))

    def ask(self, found: Sequence[tuple[Investigation, Source]], normals: Sequence[Source]) -> None:
        """Have the model judge the worst findings of some investigations, those it has not judged or failed on in this chat."""
        cases = [
            _Case(finding=f, source=source, normals=_alike(source, normals))
            for inv, source in found if self.sees(inv.kind) for f in inv.findings if f.abnormal
        ]  # fmt: skip
        worst = sorted(cases, key=lambda case: -case.finding.severity_score)[:MOST_JUDGED]
        new = [case for case in worst if self._key(case) not in self._tried and self._kept(case) is None]
        self._tried |= {self._key(case) for case in new}
        if new:
            self._judge(new)

    def _judge(self, cases: Sequence[_Case]) -> None:
        """Keep what the model says of some findings; the first failure ends it."""
        done = 0
        with self._steps.step("judge", f"Judging how bad it is with {self._voice.name}") as step:
            try:
                for case in cases:
                    judgement = judge_severity(
                        self._voice.model(), case.picture(), what=case.what, judge=self._called(), references=case.references(),
                        written=lambda n: self._steps.progress("judge", "characters written", n, 0),
                    )  # fmt: skip
                    self._store.cache(self._key(case), asdict(judgement))
                    done += 1
                step["detail"] = f"{done} judged"
            except Exception as error:  # a server, a driver or a library: whatever it is, what was measured grades the findings
                rest = "the others are" if done else "they are"
                why = "you stopped it" if self._steps.cancelled.is_set() else reason(error)
                step.update(detail=f"{why}; {rest} graded by what was measured", ok=False)

    def _kept(self, case: _Case) -> Judgement | None:
        body = self._store.cached(self._key(case)) if case.finding.abnormal else None
        return None if body is None else Judgement(**body)

    def _key(self, case: _Case) -> str:
        body = {**case.finding.evidence.to_json(), "id": "", "seconds": 0.0}
        against = sorted(normal.key for normal in case.normals)
        parts = ["judge", VERSION, self._voice.name, case.source.key, *against, json.dumps(body, sort_keys=True)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _called(self) -> str:
        """How the model is named beside a grade: the last part of its name."""
        return f"the model {PurePath(self._voice.tier.name).name}"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Case:
    """A finding to be judged, its source, and the normal sources of the same kind."""

    finding: Finding
    source: Source
    normals: tuple[Source, ...]

    @property
    def what(self) -> str:
        """What it is called, and how it looks."""
        looks = self.finding.evidence.facts.get("looks")
        return f"{self.finding.label}, {looks}" if looks else self.finding.label

    def picture(self) -> _Pixels:
        """The photo of the finding, or the frame at its peak.

        Raises:
            BadInput: it cannot be had.
        """
        sample, locus = self.source.samples[0], self.finding.evidence.locus
        if isinstance(sample, VideoClip) and isinstance(locus, Interval):
            frame = frame_at(sample, locus.peak_s)
            if frame is not None:
                return frame.rgb
        number = self.finding.evidence.facts.get("photo")
        photo = self.source.samples[number - 1] if isinstance(number, int) else None
        if not isinstance(photo, ImageSample):
            raise BadInput(f"{self.source.name!r}: the picture of a finding cannot be read; give the file again.")
        return photo.pixels

    def references(self) -> list[_Pixels]:
        """Normal pictures to compare with: the first photos, or the middle frames of the first clips."""
        samples = [s for normal in self.normals for s in list(normal.samples[:MOST_REFERENCES])][:MOST_REFERENCES]
        photos = [s.pixels for s in samples if isinstance(s, ImageSample)]
        frames = [frame_at(s, s.duration_s / 2) for s in samples if isinstance(s, VideoClip)]
        return [*photos, *(frame.rgb for frame in frames if frame is not None)]


def _alike(source: Source, normals: Sequence[Source]) -> tuple[Source, ...]:
    return tuple(normal for normal in normals if normal.kind == source.kind)


def _regraded(finding: Finding, judgement: Judgement, survey: Evidence) -> Finding:
    """A finding with the judge's level and its reason, ordered within the level by what was measured."""
    facts: Any = finding.evidence.facts
    ratio, sure = float(facts["times_threshold"]), finding.confidence
    severity: Severity = (
        grade_region(ratio=ratio, area=float(facts["area_percent"]) / 100, sure=sure, judged=judgement)
        if "area_percent" in facts
        else grade_moment(ratio=ratio, length_s=float(facts["length_s"]), whole_s=float(survey.facts["duration_s"]),  # type: ignore[arg-type]
                          sure=sure, judged=judgement)
    )  # fmt: skip
    return Finding.stated(finding.evidence, finding.label, severity, sure)
