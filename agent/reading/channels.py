"""Channels of a series a question points at: by name, part of a name, unit word ("the temperature") or number ("sensor 4")."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from agent.question import SourceInfo
from agent.reading.names import ORDINAL, Named, Span, blank, excepted, find_names, numbers, ordinal, runs
from agent.reading.phrases import wordlist
from agent.reading.tidy import one_edit
from agent.reading.values import blank_values

# what people say, how such channels are called, their units
_QUANTITIES: tuple[tuple[str, str, str], ...] = (
    (
        r"temp\w*|heat|hot|cold|warm|hotter|colder|celsius|degrees|thermal",
        r"temp\w*|thermo\w*|tmp|t|celsius",
        r"(?:°|deg)?\s?[cfk]|°.*",
    ),
    (r"pressure|bar|psi|pascal", r"press\w*|pres|p|psi", r"m?bar|k?pa|mpa|psi|hpa|atm"),
    (r"vibrat\w*|shak\w*|acceleration|accelerometer", r"vib\w*|acc\w*|rms", r"g|mm/s|m/s2|m/s²|m/s\^2"),
    (r"current|amp(?:s|ere|erage)?", r"curr\w*|amp\w*", r"m?a|amp.*"),
    (r"voltages?|volts?", r"volt\w*|u", r"[mk]?v"),
    (r"power|watts?|consumption", r"power|watt\w*|pwr", r"[mk]?w"),
    (r"flow|flow ?rate|throughput", r"flow\w*|volume\w*", r"l/min|l/s|m3/h|m³/h|lpm|gpm"),
    (r"speed|rpm|velocity|rotation\w*|revolutions", r"speed|rpm|veloc\w*|rot\w*", r"rpm|1/min|m/s|km/h|hz"),
    (r"humidity|moisture", r"hum\w*|moist\w*|rh", r"%\s?rh"),
    (r"torque", r"torq\w*|tq", r"nm"),
    (r"cpu|processor", r"cpu\w*|load\w*", r"-"),
    (r"memory|ram", r"mem\w*|ram", r"[mgk]i?b"),
    (r"level|fill", r"level|lvl|fill\w*", r"-"),
    (r"network|traffic|bandwidth", r"net\w*|traffic|bytes|eth\w*", r"[mkg]?b(?:it)?/s"),
)
_QUANTITY = tuple(tuple(re.compile(pattern) for pattern in row) for row in _QUANTITIES)
_NOUN = r"(?:sensors?|channels?|signals?|columns?|metrics?|variables?|ch\.?|dims?|dimensions?|features?|tags?)"
_NUMBERED = re.compile(
    rf"\b{_NOUN} ?(?:number |no\.? ?|nr\.? ?|# ?)?"
    r"(\d{1,4}(?:(?: ?(?:,|and|&|or|to|vs\.?|with|-) ?)(?:sensor |channel )?\d{1,4}(?![\w:.]))*)(?![\w:.]*\w)"
    rf"|\b(?:the )?({ORDINAL}) (?:sensor|channel|signal|column|metric|variable)\b"
)
_STATE = re.compile(r"\s*(?:state|situation|status|data|file|image|setting|threshold)")


@dataclass
class _Found:
    """Channels found so far."""

    source: SourceInfo
    chosen: list[str] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_channels(text: str, source: SourceInfo) -> Named:
    """Channels of a series named in `text`; typos, prefixes and plurals are understood.

    >>> pump = SourceInfo(name="p", kind="series", channels=("motor_temp", "bearing_temp", "pressure"), units=("°C", "°C", "bar"))
    >>> find_channels("is the motor temperature ok?", pump).channels, find_channels("and the presure", pump).channels
    (('motor_temp',), ('pressure',))
    """
    channels = source.channels
    if not channels:
        return Named()
    text = blank_values(text, source)  # "above 5 bar" names no pressure, it compares with one
    found = _Found(source)
    for name, span in find_names(text, channels, loose=True):
        if len(_parts(name)) > 1 or name.lower() not in wordlist("says nothing about a channel"):
            found.chosen.append(name)
            found.spans.append(span)
    _by_number(blank(text, found.spans), found)
    _by_word(blank(text, found.spans), found)
    chosen = list(dict.fromkeys(found.chosen))
    if chosen and excepted(text, found.spans):
        chosen = [c for c in channels if c not in chosen]
    order = {channel: index for index, channel in enumerate(channels)}
    return Named(
        channels=tuple(sorted(chosen, key=lambda c: order[c])), spans=tuple(found.spans), unknown=tuple(found.unknown),
        notes=tuple(dict.fromkeys(found.notes)),
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _parts(channel: str) -> tuple[str, ...]:
    """Words and numbers of a channel name, units in brackets and camel case taken apart."""
    return runs(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"[\[(].*?[\])]", " ", channel)))


def _by_number(free: str, found: _Found) -> None:
    """As in "sensor 4": the channel that is called so, else the fourth."""
    channels, name = found.source.channels, found.source.name
    for m in _NUMBERED.finditer(free):
        for number in numbers(m[1]) if m[1] else [ordinal(m[2])]:
            called = [c for c in channels if _parts(c)[-1:] == (str(number),) and not re.fullmatch(r"\d+\.\d+", c)]
            if called and len({_parts(c)[:-1] for c in called}) == 1:
                found.chosen.append(called[0])
            elif 1 <= number <= len(channels):
                found.chosen.append(channels[number - 1])
                found.notes.append(f"I counted channels from 1: number {number} of {name} is {channels[number - 1]}.")
            elif number == -1:
                found.chosen.append(channels[-1])
            else:
                found.unknown.append(m[0].strip())
                found.notes.append(f"{name} has {len(channels)} channels, so there is no {m[0].strip()!r}.")
        found.spans.append(m.span())


def _by_word(free: str, found: _Found) -> None:
    """Words of channel names and of quantities; of the channels that a word fits, those that fit most words are meant."""
    hits: dict[str, set[str]] = {}
    tokens = [(m[0], m.span()) for m in re.finditer(r"[^\W\d_]+", free)]
    for word, span in tokens:
        if word in wordlist("says nothing about a channel") or (word == "current" and _STATE.match(free[span[1] :])):
            continue
        fitting = _fitting(word, found.source)
        if fitting and not len(fitting) == len(found.source.channels) > 2:
            hits[word] = fitting
            found.spans.append(span)
    score = {c: sum(c in fitting for fitting in hits.values()) for c in found.source.channels}
    digits = {run.lstrip("0") for run in re.findall(r"\d+", free)}
    for word, fitting in hits.items():
        best = max(score[c] for c in fitting)
        picked = [c for c in found.source.channels if c in fitting and score[c] == best and c not in found.chosen]
        if len(picked) > 1 and best == 1:
            picked = [c for c in picked if digits & set(_parts(c))] or picked
        if len(picked) > 1 and best == 1:
            names = ", ".join(picked[:4]) + (" …" if len(picked) > 4 else "")
            found.notes.append(f"{word!r} fits {len(picked)} channels of {found.source.name} ({names}); I took all of them.")
        found.chosen += picked


def _fitting(word: str, source: SourceInfo) -> set[str]:
    """Channels that a typed word may stand for: by their names, else by the quantity they measure."""
    fitting = {c for c in source.channels if any(_same(word, part) for part in _parts(c))}
    if fitting:
        return fitting
    for said, called, unit in _QUANTITY:
        if said.fullmatch(word):
            fitting = {c for c in source.channels if any(called.fullmatch(part) for part in _parts(c))}
            units = zip(source.channels, source.units, strict=False)
            return fitting or {c for c, u in units if u and unit.fullmatch(u.lower().strip("[]() "))}
    return set()


@lru_cache(maxsize=16384)
def _same(word: str, part: str) -> bool:
    """Whether a typed word stands for a word of a channel name: equal, plural, abbreviation, or one typo apart."""
    if word in (part, part + "s") or word + "s" == part:
        return True
    if word in wordlist("no file name alone") - {"temperature", "pressure"} or part in wordlist("says nothing about a channel"):
        return False
    if len(part) >= (4 if len(word) > 6 else 3) and word.startswith(part):
        return True
    if len(word) >= 4 and part.startswith(word):
        return True
    return min(len(word), len(part)) >= 5 and one_edit(word, part)
