"""Which part of photos or a video a question is about: the photos and times it names, and the findings there."""

from __future__ import annotations

from dataclasses import dataclass

from agent.investigation import Finding, Investigation
from agent.question import Request, TimeRange
from core.evidence import Interval
from readers.open import Source


@dataclass(frozen=True, kw_only=True)
class Scope:
    """A source and what a question names of it; no samples and no times mean all of it.

    `findings` are the abnormal ones in scope, worst first as they were found; `named` has the finding of each named photo, abnormal
    or not.
    """

    source: Source
    inv: Investigation | None
    samples: tuple[str, ...]
    times: tuple[TimeRange, ...]
    findings: tuple[Finding, ...]
    named: tuple[Finding, ...]

    @property
    def rests_on(self) -> list[str]:
        """Evidence ids of the verdict on what is in scope: of the named photos, of the findings in time, or the survey.

        None where nothing was found by comparing an input with itself alone: that is no verdict on what was asked.
        """
        if not self.findings and self.inv and {"undecided", "hedge"} & set(self.inv.survey.facts):
            return []
        if self.samples:
            return [f.evidence.id for f in self.named]
        if self.times:
            return [f.evidence.id for f in self.findings]
        return [self.inv.survey.id] if self.inv else []


def scope_of(request: Request, source: Source, inv: Investigation | None) -> Scope | None:
    """What a question names of `source`, or None when it names photos or times of other sources only."""
    samples = tuple(s.sample for s in request.samples if s.source == source.name)
    times = tuple(t for t in request.times if t.source == source.name) if source.kind == "video" else ()
    if (request.samples and not samples) or (request.times and not times and not samples):
        return None
    everything = inv.findings if inv else ()
    pointed = {r.evidence for r in request.references if r.evidence}
    named = tuple(f for name in samples for f in everything if f.evidence.locus.sample == name)
    chosen = named if samples else tuple(f for f in everything if not times or _touches(f, times))
    return Scope(
        source=source, inv=inv, samples=samples, times=times, named=named,
        findings=tuple(f for f in chosen if f.abnormal and (not pointed or f.evidence.id in pointed)),
    )  # fmt: skip


def _touches(finding: Finding, times: tuple[TimeRange, ...]) -> bool:
    locus = finding.evidence.locus
    return isinstance(locus, Interval) and any(locus.start_s < t.end_s and locus.end_s > t.start_s for t in times)
