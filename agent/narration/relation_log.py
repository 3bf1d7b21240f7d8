"""Who did what around a video's findings, as evidence that a causal sentence can cite: rows of the relation log.

The embedded objects (moving things, people by HOG) are often wrong about what a thing is, less so about how it moves; every row says
who found it. Rows are those of the findings' own time and of a few seconds before and after, the rarest predicates first.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.investigation import Finding
from agent.narration.changes import RELATIONS
from core.evidence import Evidence, Interval
from core.samples import VideoClip
from core.settings import choice

CONTEXT_S = 8.0
"""Seconds before and after a finding in which its cause and effect may lie."""
MOST_ROWS = 12


def relation_evidence(clip: VideoClip, source: str, findings: Sequence[Finding]) -> list[Evidence]:
    """Unnumbered evidence, one piece for each of at most `MOST_ROWS` relations around the findings of a clip, in order of time.

    Raises:
        BadInput: the clip cannot be decoded.
    """
    from tools.video.relations import clip_relations, strongest

    if choice("relations", RELATIONS) == "none":
        return []
    spans = [f.evidence.locus for f in findings if isinstance(f.evidence.locus, Interval)]
    if not spans:
        return []
    near = [
        relation for relation in clip_relations(clip)
        if any(s.start_s - CONTEXT_S <= relation.t1_s and relation.t0_s <= s.end_s + CONTEXT_S for s in spans)
    ]  # fmt: skip
    return [
        Evidence(
            id="", tool="relations", version="1", parameters={"context_s": CONTEXT_S}, source=source,
            locus=Interval(sample=clip.name, start_s=round(r.t0_s, 2), end_s=round(r.t1_s, 2), peak_s=round(r.t0_s, 2)),
            facts={
                "relation": r.text, "subject": r.subject.words, "predicate": r.predicate,
                "object": "" if r.object is None else r.object.words, "strength": round(r.strength, 2),
            },
        )
        for r in strongest(near, most=MOST_ROWS)
    ]  # fmt: skip
