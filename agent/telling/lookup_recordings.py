"""What is said about a recording as a whole: its length, its rows, its channels, what is missing."""

from __future__ import annotations

from typing import Any

from agent.telling.lookup_readings import time_of
from agent.telling.words import cite, count, listed, moment, name, number
from core.evidence import Evidence


def facts(evidence: Evidence) -> list[str]:
    """Facts of a whole recording, one sentence per thing asked."""
    found: Any = evidence.facts
    tell = _of_video if "fps" in found else _of_series
    return [sentence for kind in found["asked"] for sentence in tell(kind, found, evidence)]


def _of_video(kind: str, found: Any, evidence: Evidence) -> list[str]:
    clip, end = name(evidence.locus.sample), cite(evidence)
    said = {
        "interval": f"{clip} has {number(found['fps'])} frames per second, one every {number(found['interval_s'])} s",
        "length": f"{clip} lasts {moment(found['duration_s'])} ({number(found['duration_s'])} s)",
        "rows": f"{clip} has {count(found['frames'], 'frame')}",
        "format": f"{clip} has {number(found['fps'])} frames per second of {found['width']} × {found['height']} pixels",
    }  # fmt: skip
    return [f"{said[kind]} {end}."]


def _of_series(kind: str, found: Any, evidence: Evidence) -> list[str]:
    series, end = name(evidence.locus.sample), cite(evidence)
    if kind == "missing":
        return _missing(found, evidence)
    if kind in ("channels", "units"):
        names = [f"{name(c['channel'])}{' (' + c['unit'] + ')' if c['unit'] else ''}" for c in found["listed"]]
        if found["named"]:
            return [f"{series} gives {listed(names)} {end}."]
        more = "" if len(names) == found["channels"] else f"; the first {found['listed_count']} are"
        return [f"{series} has {count(found['channels'], 'channel')}{more or ':'} {listed(names)} {end}."]
    if kind == "interval":
        if found["time_base"] == "index":
            return [f"{series} has no time column, only {count(found['rows'], 'row')} {end}."]
        uneven = found.get("uneven_steps", 0)
        steady = f"; {count(uneven, 'step')} differ{'s' * (uneven == 1)} from that" if uneven else ", without exception"
        return [f"{series} has one row every {found['interval']}{steady} {end}."]
    if kind == "rows":
        return [f"{series} has {count(found['rows'], 'row')} of {count(found['channels'], 'channel')} {end}."]
    if found["time_base"] == "index":
        return [f"{series} has {count(found['rows'], 'row')} and no time column, so I cannot say how long that is {end}."]
    return [
        f"{series} covers {found['length']}, from {time_of(found, found['start_s'])} to {time_of(found, found['end_s'])} "
        f"({count(found['rows'], 'row')}) {end}."
    ]


def _missing(found: Any, evidence: Evidence) -> list[str]:
    where = listed([name(c) for c in found["looked_at"][:5]]) if found["looked_at"] else name(evidence.locus.sample)
    gaps = found["time_gaps"]
    if gaps:
        tail = (
            f"{count(gaps, 'gap')} between time stamps, the widest from {time_of(found, found['gap_s'])} to "
            f"{time_of(found, found['gap_end_s'])}"
        )
    else:
        tail = "" if found["time_base"] == "index" else "no time stamp is left out"
    if found["missing_values"]:
        rows = [
            f"{name(c['channel'])} ({c['missing']:,}, first at {time_of(found, c['first_s'])})" for c in found["most_missing"]
        ]
        said = f"Yes, {found['missing_values']:,} of {found['values']:,} values of {where} are missing: {listed(rows)}"
        return [f"{said}{'; ' + tail if tail else ''} {cite(evidence)}."]
    if gaps:
        return [f"No value of {where} is missing, yet there {'is' if gaps == 1 else 'are'} {tail} {cite(evidence)}."]
    return [f"No, no value of {where} is missing{', and ' + tail if tail else ''} {cite(evidence)}."]


def lost(evidence: Evidence) -> list[str]:
    """What cannot be looked up any more because its file is gone."""
    facts: Any = evidence.facts
    there = ""
    if facts["timed"]:
        found = facts["found"]
        said = f"{count(found, 'finding')} {'lies' if found == 1 else 'lie'}" if found else "none lies"
        there = f" Of what I found in it before, {said} there {cite(evidence)}."
    return [f"{name(evidence.locus.sample)} is gone, so I cannot look up {name(facts['asked'])} in it {cite(evidence)}.{there}"]
