"""The evidence of a lookup: its kind is the evidence's tool, `lookup_<kind>`, and `agent.telling` says it in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.evidence import Evidence, Locus

LEAST_COVERED = 0.5
"""Share of a time, or of a channel's readings, that must be there for a verdict on it."""


def made(kind: str, source: str, locus: Locus, facts: Mapping[str, Any], picture: str | None = None,
              score: float | None = None, threshold: float | None = None, origin: str = "") -> Evidence:  # fmt: skip
    """Unnumbered evidence of something looked up."""
    return Evidence(id="", tool=f"lookup_{kind}", version="1", parameters={}, source=source, locus=locus, facts=facts,
                    path=picture, score=score, threshold=threshold, threshold_origin=origin)  # fmt: skip
