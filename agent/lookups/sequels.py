"""What came before or after an act in a video, or may have led to it, and what touched what: rows of the relation log with their times.

An act is looked for in the log itself. Of the log, rows about who did it count, and how that one was before: in place or going somewhere,
upright or low. Where the detector's event is meant, rows about who takes part in it (`agent.accounts.around_video`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from agent.evidence_store import EvidenceStore
from agent.examine.video import frame_at
from agent.investigation import Finding, Investigation
from agent.lookups import judged
from agent.lookups.found import made
from agent.lookups.motions import motion
from agent.lookups.scope import Scope, scope_of
from agent.question import Request
from agent.reading.sequels import Sequel, names_other_things, sequel_of
from agent.reading.sights import Asked
from agent.rules.conditions import Predicate
from core import draw
from core.evidence import Evidence, Interval
from core.samples import VideoClip
from readers.open import Source
from tools.video.relation_words import Entity, Relation, strongest
from tools.video.tracks import MOVING, STILL, Track, TrackSet

CONTEXT_S = 8.0
MOST_ROWS = 4
SAME_S = 0.3
"""Rows that begin this close to an act are of it, not before or after it."""
UPRIGHT, LOW = 0.8, 1.1
"""Width / height of a box up to which somebody is upright, and from which low."""
_IN_LOG: Mapping[Predicate, tuple[str, ...]] = {
    "falls": ("falls",), "runs": ("runs",), "stops": ("stops",), "touches": ("contacts",), "carries": ("carries",),
    "is left behind": ("leaves behind",),
}  # fmt: skip
_SAYS_LITTLE = frozenset(("appears", "disappears", "overlaps", "in a crowd", "stays"))
_TOUCHES = ("contacts",)


def look_up(
    request: Request, source: Source, inv: Investigation | None, store: EvidenceStore | None = None
) -> Iterator[Evidence]:
    """What a question around an act needs to know; nothing where it asks of none. `store` keeps a picture of the act.

    Raises:
        BadInput: the clip cannot be decoded.
    """
    asked = sequel_of(request.question)
    clip = source.samples[0]
    scope = scope_of(request, source, inv) if asked is not None else None
    if asked is None or scope is None or not isinstance(clip, VideoClip):
        return
    from tools.video.relations import clip_relations

    log = clip_relations(clip)
    strange = names_other_things(asked.said) and not any(entity.label in asked.said for row in log for entity in _entities(row))
    if strange and asked.side == "cause":
        return  # why the van stopped: nothing that is followed is known to be a van, and what the detector found has reasons of its own
    if asked.act is not None and not strange:
        yield from _around_act(asked, scope, clip, log, store)
    elif asked.side == "contact":
        yield _contacts(asked, scope, clip, log, store)
    elif inv is not None and any(finding.abnormal for finding in inv.findings):
        worst = max((f for f in inv.findings if f.abnormal), key=lambda f: f.severity_score)
        yield from _around_event(asked, scope, worst, log)


def _entities(row: Relation) -> list[Entity]:
    return [one for one in (row.subject, row.object) if one is not None]


def _around_act(
    asked: Sequel, scope: Scope, clip: VideoClip, log: Sequence[Relation], store: EvidenceStore | None
) -> Iterator[Evidence]:
    """The first time the act is in the log, and what the log tells of who did it; without it, why it cannot be told."""
    from tools.video.track_finder import find_tracks

    assert asked.act is not None
    done = [row for row in log if row.predicate in _IN_LOG[asked.act]]
    if not done:
        found = motion(Asked(sight="people", phrase=f"somebody {asked.act}", beyond=True, whether=False), scope)
        if found is not None:
            yield found
        return
    act = done[0]
    who = {one.id for one in (act.subject, act.object) if one is not None and one.id is not None}
    rows = [row for row in log if row is not act and who & {one.id for one in (row.subject, row.object) if one is not None}]
    state = _state(find_tracks(clip), act, after=asked.side == "after")
    locus = Interval(sample=clip.name, start_s=round(act.t0_s, 2), end_s=round(act.t1_s, 2), peak_s=round(act.t0_s, 2))
    found = _made(asked, scope, locus, rows, anchor=said(act), state=state, times=len(done))
    yield replace(found, path=_picture(clip, act, store))


def _around_event(asked: Sequel, scope: Scope, worst: Finding, log: Sequence[Relation]) -> Iterator[Evidence]:
    """Rows before or after the worst event that the detector found, about those who take part in it."""
    locus = worst.evidence.locus
    assert isinstance(locus, Interval)
    during = [row for row in log if row.t0_s < locus.end_s and row.t1_s >= locus.start_s]
    involved = {one.id for row in during for one in (row.subject, row.object) if one is not None and one.id is not None}
    rows = [row for row in log if involved & {one.id for one in (row.subject, row.object) if one is not None}]
    yield _made(asked, scope, locus, rows, anchor="", state=None, times=1)


def _contacts(asked: Sequel, scope: Scope, clip: VideoClip, log: Sequence[Relation], store: EvidenceStore | None) -> Evidence:
    """What touches what, in the detector's events where there are any and near them."""
    spans = [(f.evidence.locus.start_s - 1.0, f.evidence.locus.end_s + 1.0) for f in scope.findings
             if isinstance(f.evidence.locus, Interval)]  # fmt: skip
    touching = [row for row in log if row.predicate in _TOUCHES]
    near = [row for row in touching if not spans or any(row.t0_s < end and row.t1_s > start for start, end in spans)]
    rows = sorted(sorted(near, key=lambda row: -row.strength)[:MOST_ROWS], key=lambda row: row.t0_s)
    first, last = (rows[0].t0_s, max(row.t1_s for row in rows)) if rows else (0.0, clip.duration_s)
    locus = Interval(sample=clip.name, start_s=round(first, 2), end_s=round(last, 2), peak_s=round(first, 2))
    facts = {
        "of": "video", "side": "contact", "asked": asked.said, "near": bool(spans), "times": len(near),
        "seen": [_row(row) for row in rows],
    }  # fmt: skip
    picture = _picture(clip, max(rows, key=lambda row: row.strength), store) if rows else None
    return made("sequel", scope.source.name, locus, {**judged.known(scope), **facts}, picture)


def _picture(clip: VideoClip, act: Relation, store: EvidenceStore | None) -> str | None:
    """The frame in the middle of an act with the boxes of who takes part in it; None without a store or a frame."""
    times = sorted({box.time_s for box in act.boxes})
    if store is None or not times:
        return None
    middle = times[len(times) // 2]
    frame = frame_at(clip, middle)
    if frame is None:
        return None
    scale = frame.rgb.shape[1] / clip.width
    own = [tuple(scale * edge for edge in box.box) for box in act.boxes if box.time_s == middle]
    return store.put_file(draw.png_bytes(draw.boxes(frame.rgb, own)), ".png")  # type: ignore[arg-type]


def _made(
    asked: Sequel, scope: Scope, locus: Interval, rows: Sequence[Relation], *, anchor: str,
    state: dict[str, Any] | None, times: int,
) -> Evidence:  # fmt: skip
    after = asked.side == "after"
    telling = [row for row in rows if row.predicate not in _SAYS_LITTLE and _beside(row, locus, after=after)]
    chosen = strongest(telling, most=MOST_ROWS)
    facts = {
        "of": "video", "side": asked.side, "asked": asked.said, "anchor": anchor, "times": times,
        "seen": [_row(row) for row in chosen], **({} if state is None else {"state": state}),
    }  # fmt: skip
    return made("sequel", scope.source.name, locus, {**judged.known(scope), **facts})


def _beside(row: Relation, locus: Interval, *, after: bool) -> bool:
    if after:
        return locus.end_s - SAME_S < row.t0_s <= locus.end_s + CONTEXT_S
    return locus.start_s - CONTEXT_S <= row.t0_s < locus.start_s - SAME_S


def _row(row: Relation) -> dict[str, Any]:
    return {"said": said(row), "start_s": round(row.t0_s, 1), "end_s": round(row.t1_s, 1)}


def said(row: Relation) -> str:
    """A row in words with its seconds.

    >>> from tools.video.relation_words import Entity
    >>> said(Relation(t0_s=4.0, t1_s=4.62, subject=Entity(1, "person"), predicate="falls", strength=0.8))
    'person 1 falls at 4.0–4.6 s'
    """
    words = row.text.split(" ", 1)[1].split(" (")[0]
    span = f"{row.t0_s:.1f}–{row.t1_s:.1f}" if row.t1_s - row.t0_s >= 0.1 else f"{row.t0_s:.1f}"
    return f"{words} at {span} s"


def _state(seen: TrackSet, act: Relation, *, after: bool) -> dict[str, Any] | None:
    """How who did it was before the act (or after it): in place or going somewhere, upright or low; None where too little is known."""
    track = next((track for track in seen.tracks if track.id == act.subject.id), None)
    if track is None:
        return None
    start, end = (act.t1_s, track.end_s) if after else (max(track.start_s, act.t0_s - CONTEXT_S), act.t0_s)
    inside = (track.motion.times >= start) & (track.motion.times <= end) & track.motion.known
    if end - start < SAME_S or inside.sum() < 2:
        return None
    words = " and ".join(part for part in (_pace(track, inside, start, end), _posture(track, inside)) if part)
    who = act.subject.words
    return (
        {"said": f"{who} {words} at {start:.1f}–{end:.1f} s", "start_s": round(start, 1), "end_s": round(end, 1)}
        if words
        else None
    )


def _pace(track: Track, inside: Any, start: float, end: float) -> str:
    speed = float(np.median(track.motion.speed[inside]))
    way = track.direction(start, end)
    if speed >= MOVING and way != "nowhere":
        return f"moves {way}"
    return "stays in place" if speed < STILL else "moves about"


def _posture(track: Track, inside: Any) -> str:
    aspect = float(np.median(track.aspect()[inside]))
    return "is upright" if aspect < UPRIGHT else "is low" if aspect > LOW else ""
