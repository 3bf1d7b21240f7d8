"""A stretch of a video as a file of its own, for the person to take along: the event or the time asked about, with a second on either side.

The file lies among the evidence of the chats, under a name made of its content; what the person sees of the file's own name has letters,
digits, `-` and `_` only, whatever the video is called.
"""

from __future__ import annotations

import re
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.evidence_store import EvidenceStore
from agent.investigation import Investigation
from agent.lookups import stretches
from agent.lookups.found import made
from agent.lookups.scope import scope_of
from agent.question import Request
from agent.reading.clips import asks_for_several
from agent.reading.tidy import words_of
from core.errors import BadInput
from core.evidence import Evidence, Interval, Whole
from core.samples import VideoClip
from readers.open import Source
from tools.video.clip_export import LONGEST_S, export_clip

PAD_S = 1.0
"""Seconds on either side of an event."""
MOMENT_S = 4.0
"""Length of a clip around a single moment."""
MOST_CLIPS = 5
_LONGEST_NAME = 40


def look_up(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    """The clips that are asked for of one video, cut; or that there is nothing to cut.

    Raises:
        BudgetExceeded: stopped; nothing is left behind.
    """
    clip = source.samples[0]
    scope = scope_of(request, source, inv)
    if scope is None or not isinstance(clip, VideoClip):
        return
    inside = stretches.times_inside(request, source)
    for when in scope.times:
        if (said := stretches.as_said(when)) not in inside:
            yield stretches.outside(source, said, said=any(f"{said.text!r} lies outside" in note for note in request.notes))
    wanted: list[tuple[float, float, str | None]] = []
    if scope.times:
        for when in inside:
            centre = (when.start_s + when.end_s) / 2
            wanted.append(
                (centre - MOMENT_S / 2, centre + MOMENT_S / 2, None) if when.point else (when.start_s, when.end_s, None)
            )
    else:
        for finding in scope.findings:
            locus = finding.evidence.locus
            if isinstance(locus, Interval):
                wanted.append((locus.start_s - PAD_S, locus.end_s + PAD_S, finding.evidence.id))
        if not wanted:
            yield made("clip", source.name, Whole(sample=clip.name), {"none": True})
        several = asks_for_several(words_of(request.question)) or any(reference.evidence for reference in request.references)
        wanted = wanted if several else wanted[:1]
    for start_s, end_s, event in wanted[:MOST_CLIPS]:
        yield _cut(source, clip, start_s, end_s, event, store, left=len(wanted[MOST_CLIPS:]))


def _cut(
    source: Source, clip: VideoClip, start_s: float, end_s: float, event: str | None, store: EvidenceStore, *, left: int
) -> Evidence:
    """One clip, or why it could not be cut."""
    first, last = max(0.0, start_s), min(end_s, clip.duration_s)
    shortened = last - first > LONGEST_S
    last = min(last, first + LONGEST_S)
    locus = Interval(sample=clip.name, start_s=round(first, 3), end_s=round(last, 3), peak_s=round(first, 3))
    facts: dict[str, Any] = {
        "findings": [] if event is None else [event],
        "shortened": shortened,
        "longest_s": LONGEST_S,
        "left": left,
    }
    with tempfile.TemporaryDirectory(prefix="telltale-clip-") as place:
        try:
            done = export_clip(clip, Path(place) / "clip.mp4", start_s=first, end_s=last)
        except BadInput as error:
            return made("clip", source.name, locus, {**facts, "failed": str(error)})
        kept = store.put_file(done.path.read_bytes(), ".mp4")
    facts |= {
        "file": file_name(source.name, done.start_s, done.end_s), "from_s": round(done.start_s, 2), "to_s": round(done.end_s, 2),
        "length_s": round(done.end_s - done.start_s, 2), "frames": done.frames,
    }  # fmt: skip
    return made("clip", source.name, locus, facts, kept)


def file_name(name: str, start_s: float, end_s: float) -> str:
    r"""What a clip of the video `name` is called where a person saves it.

    >>> file_name("Gate 3.mp4", 1.5, 62.04), file_name("../../etc/pass\nwd<b>.mp4", 0, 2)
    ('Gate_3_1.5-62.0s.mp4', 'pass_wd_b_0.0-2.0s.mp4')
    """
    stem = Path(unicodedata.normalize("NFKC", name).replace("\\", "/")).stem
    plain = re.sub(r"[^\w-]+", "_", stem)[:_LONGEST_NAME].strip("_-")
    return f"{plain or 'clip'}_{start_s:.1f}-{end_s:.1f}s.mp4"
