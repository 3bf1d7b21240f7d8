"""What is said about things looked up for a question, by the lookup's kind."""

from __future__ import annotations

from collections.abc import Callable

from agent.telling import (
    lookup_clips,
    lookup_comparing,
    lookup_graph,
    lookup_logs,
    lookup_pictures,
    lookup_readings,
    lookup_recordings,
    lookup_sequels,
    lookup_shares,
    lookup_stretches,
    lookup_timeline,
)
from core.evidence import Evidence

_TELLERS: dict[str, Callable[[Evidence], list[str]]] = {
    "lookup_time": lookup_stretches.stretch,
    "lookup_channel": lookup_stretches.channel,
    "lookup_fine": lookup_shares.fine,
    "lookup_total": lookup_shares.total,
    "lookup_still": lookup_stretches.still,
    "lookup_lost": lookup_recordings.lost,
    "lookup_outside": lookup_stretches.outside,
    "lookup_amount": lookup_readings.amount,
    "lookup_crossing": lookup_readings.crossing,
    "lookup_extreme": lookup_readings.extreme,
    "lookup_comparison": lookup_comparing.comparison,
    "lookup_channels": lookup_comparing.channels,
    "lookup_facts": lookup_recordings.facts,
    "lookup_frame": lookup_stretches.frame,
    "lookup_search": lookup_logs.search,
    "lookup_around": lookup_graph.around,
    "lookup_events": lookup_logs.events,
    "lookup_count": lookup_logs.number_of_events,
    "lookup_concept": lookup_pictures.concept,
    "lookup_people": lookup_pictures.people,
    "lookup_motion": lookup_pictures.motion,
    "lookup_sequel": lookup_sequels.sequel,
    "lookup_type": lookup_pictures.kind,
    "lookup_colour": lookup_pictures.colour,
    "lookup_untold": lookup_pictures.untold,
    "lookup_pair": lookup_pictures.pair,
    "lookup_clip": lookup_clips.clip,
    "lookup_timeline": lookup_timeline.together,
}


def tell(evidence: Evidence) -> list[str]:
    """The sentences of one lookup."""
    return _TELLERS[evidence.tool](evidence)
