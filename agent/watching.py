"""From the units of a stream to alerts that carry their evidence: what opened, what closed, when, where, how strange, and a picture.

The detector scores (`tools.video.live`), `core.causal` opens and closes, and this says it: in the words in which a chat tells of a video,
with the picture of the strangest moment so far, its box drawn. Times are seconds of the stream; `epoch_s` turns them into clock time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import numpy as np

from agent.examine.image import place_in_words
from agent.examine.video import ENOUGH_S, calibrated, describe_parts
from core import draw
from core.calibrate import Calibration
from core.causal import CausalEvents, Closed, Opened
from core.detector import parameters
from core.errors import BadInput
from core.evidence import Box, Evidence, Interval, Region
from tools.video.frame_novelty import LOW_SHARE, FrameNovelty
from tools.video.live import LiveUnit

USUAL_SCORE = 2 * float(np.log(2)) / 1.7
"""What two usual parts add up to."""

State: TypeAlias = Literal["opened", "closed"]
KeepPicture: TypeAlias = Callable[[str, bytes], str | None]
"""(name, PNG) -> where it was put, if it could be."""


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Event `event` (from 1) opened or closed; `evidence` holds score, threshold, interval, box and picture.

    `peak_s` is the moment of the picture. `cut`: the stream ended or broke off while the event was open.
    """

    event: int
    state: State
    what: str
    place: str
    start_s: float
    end_s: float
    peak_s: float
    times_threshold: float
    evidence: Evidence
    epoch_s: float | None = None
    cut: bool = False

    def sentence(self) -> str:
        """The alert in words.

        Times are those of a player, or of the clock when it is known.
        """
        where = f", {self.place}" if self.place else ""
        score, threshold = self.evidence.score or 0.0, self.evidence.threshold or 0.0
        strong = f"{self.times_threshold:.1f} times the threshold (score {score:.1f}, threshold {threshold:.1f})"
        if self.state == "opened":
            return f"event {self.event} began at {said_time(self.start_s, self.epoch_s)}: {self.what}{where}; {strong}"
        span = f"{said_time(self.start_s, self.epoch_s)} to {said_time(self.end_s, self.epoch_s)}"
        cut = ", still on when the stream stopped" if self.cut else ""
        return f"event {self.event} ended after {self.end_s - self.start_s:.1f} s ({span}{cut}): {self.what}{where}; at most {strong}"

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        clock = {} if self.epoch_s is None else {
            "start": instant(self.epoch_s + self.start_s), "end": instant(self.epoch_s + self.end_s),
        }  # fmt: skip
        return {
            "event": self.event, "state": self.state, "text": f"{self.evidence.source}: {self.sentence()}",
            "source": self.evidence.source, "what": self.what, "place": self.place,
            "start_s": round(self.start_s, 3), "end_s": round(self.end_s, 3), "peak_s": round(self.peak_s, 3), **clock,
            "score": self.evidence.score, "threshold": self.evidence.threshold, "threshold_origin": self.evidence.threshold_origin,
            "times_threshold": round(self.times_threshold, 3), "cut": self.cut, "picture": self.evidence.path,
            "evidence": self.evidence.to_json(),
        }  # fmt: skip


def said_time(second: float, epoch_s: float | None) -> str:
    """A time of the stream as a person reads it: of the clock when it is known, else as on a player.

    >>> said_time(62.5, None), len(said_time(62.5, 1e9))
    ('1:02.50', 8)
    """
    if epoch_s is None:
        return draw.stamp(max(0.0, second))
    return datetime.fromtimestamp(epoch_s + second).astimezone().strftime("%H:%M:%S")


def instant(epoch_s: float) -> str:
    """Clock time in UTC.

    >>> instant(0.25)
    '1970-01-01T00:00:00.250+00:00'
    """
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")


def threshold_of(detector: FrameNovelty, *, memory_s: float, chosen: float | None = None) -> Calibration:
    """The threshold for a stream and where it comes from: held-out normal scores, the stream itself, or a person.

    Raises:
        BadInput: the chosen one does not lie above what is usual.
    """
    normal_s = detector.normal_s()
    found = calibrated(
        detector.reference_scores(), np.array([USUAL_SCORE], np.float32),
        little_s=normal_s if detector.fitted and normal_s < ENOUGH_S else None,
    )  # fmt: skip
    if not detector.fitted:
        reach = f"{memory_s / 60:g} min" if memory_s >= 60 else f"{memory_s:g} s"
        found = replace(
            found, origin=f"{found.threshold:g} spreads above the usual of the last {reach} of the stream (no normal clip given)"
        )
    if chosen is None:
        return found
    if not (np.isfinite(chosen) and chosen > found.centre):
        raise BadInput(f"threshold {chosen!r}: expected more than {found.centre:.2f}, what is usual.")
    return replace(found, threshold=chosen, origin="set by hand")


@dataclass(frozen=True, eq=False)
class _Strangest:
    unit: LiveUnit
    parts: Mapping[str, float]
    """Of all units so far, added up."""


def _with(before: _Strangest | None, unit: LiveUnit) -> _Strangest:
    sums = {name: (before.parts.get(name, 0.0) if before else 0.0) + part for name, part in unit.parts.items()}
    return _Strangest(unit if before is None or unit.score > before.unit.score else before.unit, sums)


class Watcher:
    """Turns units into alerts.

    Args:
        source: what the stream is called.
        detector: what scores, for the evidence.
        unit_s: seconds per unit.
        calibration: the threshold and its origin.
        keep_picture: puts a PNG somewhere and says where.
        tau_s: seconds over which scores are smoothed.
        epoch_s: clock time of time 0, if known.
    """

    def __init__(
        self, *, source: str, detector: FrameNovelty, unit_s: float, calibration: Calibration, keep_picture: KeepPicture,
        tau_s: float = 1.0, epoch_s: float | None = None,
    ) -> None:  # fmt: skip
        self.source, self.detector, self.unit_s, self.calibration, self.epoch_s = source, detector, unit_s, calibration, epoch_s
        self.events = CausalEvents(unit_s=unit_s, high=calibration.threshold, low=LOW_SHARE * calibration.threshold, tau_s=tau_s)
        self.judged = 0
        """Units that were scored."""
        self._keep_picture = keep_picture
        self._strangest: _Strangest | None = None
        self._evidence = 0
        self._last_s = 0.0

    def take(self, unit: LiveUnit) -> list[Alert]:
        """Take the next unit; what opened or closed by it."""
        self._last_s = unit.second
        self.judged += unit.valid
        before = self._strangest
        if unit.valid:
            self._strangest = _with(before, unit)
        changes = self.events.push(unit.second, unit.score, valid=unit.valid)
        alerts = [self._alert(change, before) for change in changes]
        if not (self.events.rising or (unit.valid and unit.score >= self.events.low)):
            self._strangest = None
        elif unit.valid and any(isinstance(change, Closed) for change in changes):
            self._strangest = _with(None, unit)
        return alerts

    def idle(self, stalled_s: float) -> list[Alert]:
        """Say that nothing came for `stalled_s` seconds."""
        return [self._alert(closed, self._strangest) for closed in self.events.elapse(self._last_s + stalled_s)]

    def finish(self) -> list[Alert]:
        """The stream is over: close what is open."""
        return [self._alert(closed, self._strangest) for closed in self.events.finish()]

    def _alert(self, change: Opened | Closed, before: _Strangest | None) -> Alert:
        strangest = before if isinstance(change, Closed) and before is not None else self._strangest
        assert strangest is not None  # an event has units at or above the low threshold
        unit = strangest.unit
        height, width = unit.frame.rgb.shape[:2]
        box = None if unit.box is None else rounded(unit.box)
        total = sum(strangest.parts.values())
        shares = {name: value / total for name, value in strangest.parts.items()} if total > 0 else {}
        what = describe_parts(shares)
        place = "" if box is None else place_in_words(Region(sample=self.source, box=box, area_share=0.0), height, width)
        state: State = "opened" if isinstance(change, Opened) else "closed"
        score = change.score if isinstance(change, Opened) else change.peak
        end_s = change.at_s + self.unit_s / 2 if isinstance(change, Opened) else change.end_s
        ratio = self.calibration.ratio(score)
        picture = draw.boxes(unit.frame.rgb, [] if box is None else [box])
        path = self._keep_picture(f"event-{change.number:04d}-{state}.png", draw.png_bytes(picture))
        self._evidence += 1
        p_value = float(self.calibration.p_value(np.array([score], np.float32))[0])
        evidence = Evidence(
            id=f"E{self._evidence}", tool=self.detector.spec.name, version=self.detector.spec.version,
            parameters={**parameters(self.detector), "live": True}, source=self.source,
            locus=Interval(
                sample=self.source, start_s=round(change.start_s, 3), end_s=round(end_s, 3), peak_s=round(unit.second, 3), box=box
            ),
            score=round(score, 4), p_value=p_value, threshold=self.calibration.threshold,
            threshold_origin=self.calibration.origin, calibrated=self.calibration.calibrated,
            facts={
                "state": state, "what": what, "place": place, "times_threshold": round(ratio, 3), "picture_s": round(unit.second, 3),
                "length_s": round(end_s - change.start_s, 3),
                **{f"{name}_percent": round(100 * share) for name, share in shares.items()},
            },
            path=path,
        )  # fmt: skip
        return Alert(
            event=change.number, state=state, what=what, place=place, start_s=change.start_s, end_s=end_s, peak_s=unit.second,
            times_threshold=ratio, evidence=evidence, epoch_s=self.epoch_s, cut=isinstance(change, Closed) and change.cut,
        )  # fmt: skip


def rounded(box: Box) -> Box:
    """A box in tenths of a pixel."""
    x0, y0, x1, y1 = (round(float(edge), 1) for edge in box)
    return x0, y0, x1, y1
