"""What other files of a chat show shortly before and after a finding, where their clocks settle the order (`agent.incidents`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.accounts.context import observed
from agent.incidents.incident import group
from agent.incidents.timeline import Moment, timeline
from agent.investigation import Finding, Investigation
from agent.lookups.readings import length_said
from core.evidence import Evidence, Whole
from readers.open import Source


def around(finding: Finding, investigations: Sequence[Investigation], sources: Sequence[Source]) -> list[Evidence]:
    """Unnumbered evidence of the nearest moment of another file before and of the nearest after a finding, within its incident."""
    if len(sources) < 2:
        return []
    line = timeline(sources, {inv.source: inv for inv in investigations})
    incidents, _ = group(line.moments)
    own = next((m for m in line.moments if m.evidence == finding.evidence.id), None)
    around_it = next((incident.moments for incident in incidents if own in incident.moments), ())
    if own is None:
        return []
    others = [m for m in around_it if m.source != own.source and abs(m.start_s - own.start_s) > m.slack_s + own.slack_s]
    earlier = [m for m in others if m.start_s < own.start_s][-1:]
    later = [m for m in others if m.start_s > own.start_s][:1]
    return [_observed(own, other) for other in (*earlier, *later)]


def _observed(own: Moment, other: Moment) -> Evidence:
    offset = other.start_s - own.start_s
    begin = min(own.start_s, other.start_s)
    facts: dict[str, Any] = {
        "other": other.source, "finding": other.evidence, "label": other.label, "epoch_s": begin, "at_s": round(other.start_s - begin, 3),
        "own_s": round(own.start_s - begin, 3), "lag": length_said(abs(offset), 0, "clock"), "of": own.evidence,
    }  # fmt: skip
    return observed("before" if offset < 0 else "after", "other file", own.source, Whole(sample=own.source), facts, offset=offset)
