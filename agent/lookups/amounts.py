"""How much went through, or was used, in all: the integral over time of a channel that is measured per time ("m3/h", "l/min", "kW").

Readings stand for the step up to the next one, a step that is much longer than usual (readings are missing there) for a usual one, and
what is not known is left out and said. Only a unit per time can be summed up so: the sum of temperatures means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from agent.lookups.found import made
from agent.lookups.readings import length_said, plain_words, rows_of
from agent.question import Request, TimeRange
from core.evidence import Evidence, Whole
from core.samples import Series
from readers.open import Source

MOST_CHANNELS = 3
GAP_STEPS = 2.0
"""A step longer than this many usual ones is a gap."""
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""By the first letter of what a rate is per."""
_PER_TIME = re.compile(r"^\s*(?P<what>[^/]+?)\s*/\s*(?P<per>s|sec|second|min|minute|h|hr|hour|d|day)s?\s*$", re.IGNORECASE)
_POWER = re.compile(r"^\s*(?P<watt>[kMG]?W)(?:att)?s?\s*$")
_ALL = r"totals?|sum|summed|overall|altogether|in all|cumulative|accumulated|how much|how many (?:lit(?:re|er)s?|cubic|kwh|mwh|tons?)"
_VOLUME = r"volumes?|water|lit(?:re|er)s?|cubic|pump\w*|flow\w*"
_ENERGY = r"energy|electricity|power|[km]wh"
_EITHER = r"amounts?|quantit\w+|deliver\w*|throughput|pass\w* through|went through|consum\w*|us(?:ed?|age)|produc\w*|output|tons?"
_ASKED = re.compile(rf"\b(?:{_ALL})\b.*\b(?:{_VOLUME}|{_ENERGY}|{_EITHER})\b|\bhow many (?:lit(?:re|er)s?|cubic|[km]wh|tons?)\b")
_ABNORMAL = re.compile(r"\b(?:abnormal|anomal\w+|odd|unusual|wrong|affected|flagged|how much time)\b")
_WANTS = frozenset(("what", "how_many", "overview", "which", "list", "show"))


class Rate(NamedTuple):
    """What a unit per time sums up to: `unit` of the sum, and how many `seconds` one of its times has."""

    unit: str
    seconds: float


def rate_of(unit: str) -> Rate | None:
    """What readings of a unit sum up to over time; None where it is not per time.

    >>> rate_of("m3/h"), rate_of("kW"), rate_of("bar"), rate_of("mm/s")
    (Rate(unit='m3', seconds=3600.0), Rate(unit='kWh', seconds=3600.0), None, None)
    """
    if (power := _POWER.match(unit)) is not None:
        return Rate(f"{power['watt']}h", 3600.0)
    found = _PER_TIME.match(unit)
    if found is None or re.fullmatch(r"(?:[munk]?m|ft|in|rev|r|°|deg|rad)", found["what"].strip()):  # a speed's sum is a way
        return None
    return Rate(found["what"].strip(), _SECONDS[found["per"][0].lower()])


def look_up(request: Request, source: Source, times: Sequence[TimeRange]) -> Iterator[Evidence]:
    """The sum over time of the channels that a question names, or of those that can be summed up; nothing where it asks for no such sum."""
    series = source.samples[0]
    if not isinstance(series, Series) or series.time_base == "index" or not _WANTS & set(request.intents):
        return
    words = plain_words(request, series)
    if not _ASKED.search(words) or _ABNORMAL.search(words):
        return
    rates = {index: rate for index, unit in enumerate(series.units) if (rate := rate_of(unit)) is not None}
    named = [series.channels.index(c) for c in request.channels if c in series.channels]
    energy, volume = (re.search(rf"\b(?:{kind})\b", words) is not None for kind in (_ENERGY, _VOLUME))
    fitting = [c for c in named or rates if c in rates and (energy == volume or rates[c].unit.endswith("Wh") == energy)]
    for channel in fitting[:MOST_CHANNELS]:
        yield _amount(series, source, channel, rates[channel], times)


def _amount(series: Series, source: Source, channel: int, rate: Rate, times: Sequence[TimeRange]) -> Evidence:
    mask = rows_of(series, times)
    values = series.values[:, channel].astype(np.float64)
    steps = np.append(np.diff(series.time_s), series.period_s)
    gaps = steps > GAP_STEPS * series.period_s
    steps = np.where(gaps, series.period_s, steps)
    known = mask & np.isfinite(values)
    rows = np.flatnonzero(mask)
    amount = float((values[known] * steps[known]).sum() / rate.seconds)
    covered_s = float(steps[known].sum())
    start_s, end_s = float(series.time_s[rows[0]]), float(series.time_s[rows[-1]] + steps[rows[-1]])
    missing_s = end_s - start_s - covered_s if len(times) < 2 else float(steps[mask & ~known].sum())
    facts = {
        "channel": series.channels[channel], "unit": series.units[channel], "amount": float(f"{amount:.4g}"), "amount_unit": rate.unit,
        "start_s": start_s, "end_s": end_s, "rows": int(known.sum()),
        "mean": float(f"{values[known].mean():.4g}") if known.any() else 0.0,
        "covered": length_said(covered_s, int(known.sum()), series.time_base), "negative": int((values[known] < 0).sum()),
        "missing": length_said(missing_s, 0, series.time_base) if missing_s > GAP_STEPS * series.period_s else "",
        "epoch_s": series.epoch_s, "time_base": series.time_base,
    }  # fmt: skip
    return made("amount", source.name, Whole(sample=series.name), facts)
