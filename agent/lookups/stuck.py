"""Standstills that a question's time or channel meets: as facts of a lookup, and as anomalies where no finding of a detector says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.examine.standstill import standstills
from agent.investigation import Investigation
from agent.lookups import readings
from agent.severity import confidence, grade
from core.evidence import Anomaly, Evidence, Interval
from core.samples import Series

MOST = 3
"""Standstills told; of more, the longest."""
AT_THE_LIMIT = 1.0
"""A standstill has no score, so it is graded like one that just passes the threshold, by its length alone."""


def stuck(
    series: Series, channels: Sequence[int], inside: NDArray[np.bool_] | None, inv: Investigation | None
) -> list[dict[str, Any]]:
    """Facts of the standstills of some channels in the rows of `inside` (T,), longest first; `findings` are those that tell of it."""
    found: list[dict[str, Any]] = []
    for run in (run for channel in channels for run in standstills(series, channel)):
        there = run.rows if inside is None else int(inside[run.first : run.last + 1].sum())
        if there == 0 or (there == 1 and inside is not None and inside.sum() > 1):  # one reading at the edge stands for nothing
            continue
        name = series.channels[run.channel]
        start, end = float(series.time_s[run.first]), float(series.time_s[run.last])
        found.append({
            "channel": name, "unit": series.units[run.channel], "value": readings.six(run.value), "start_s": start, "end_s": end,
            "length": readings.length_said(end - start + series.period_s, run.rows, series.time_base), "readings": run.rows,
            "readings_there": there, "share": round(run.rows / len(series.time_s), 4),
            "moves_percent": round(100 * run.moves_elsewhere, 1),
            "findings": [lead["id"] for lead in readings.leads(inv, name) if lead["start_s"] <= end and lead["end_s"] > start],
        })  # fmt: skip
    return sorted(found, key=lambda fact: -int(fact["readings"]))[:MOST]


def anomalies(evidence: Evidence) -> tuple[Anomaly, ...]:
    """The standstills of a lookup that no finding tells of, as anomalies that rest on the lookup."""
    facts: Any = evidence.facts
    made = []
    for run in facts.get("stuck", ()):
        if run["findings"]:
            continue
        severity = grade(ratio=AT_THE_LIMIT, extent=run["share"], extent_words="")
        made.append(Anomaly(
            label=f"flatline in {run['channel']}", source=evidence.source, severity=severity.level, severity_score=severity.score,
            loci=(Interval(sample=evidence.locus.sample, start_s=run["start_s"], end_s=run["end_s"], peak_s=run["start_s"],
                           channels=(run["channel"],)),),
            confidence=confidence(p_value=None, ratio=AT_THE_LIMIT, calibrated=False), evidence=(evidence.id,),
            why=f"{run['readings']} equal readings in a row, while {run['moves_percent']:g} % of the steps elsewhere change",
        ))  # fmt: skip
    return tuple(made)
