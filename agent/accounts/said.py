"""Sentences about the context of a finding: what came before, what came after, what may excuse it. Each cites what it rests on.

An order in time is called that. Only where a log says that one process started another is more said than an order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.investigation import Finding
from agent.telling.log_words import quote, time_of
from agent.telling.lookup_timeline import label_said
from agent.telling.series import time_said
from agent.telling.words import cite, count, listed, moment, name, number, span
from core.evidence import Evidence

Said = Callable[[Any, Evidence, Finding], str]


def sentence(context: Evidence, finding: Finding) -> str:
    """What a piece of context says of a finding."""
    if context.tool == "relations":
        side = "Before it" if _start(context) < span(finding)[0] else "After it"
        return (
            f"{side}, at {moment(_start(context))}: {name(_bare(context))}, as far as simple tracking can tell {cite(context)}."
        )
    return _SAID[str(context.facts["what"])](context.facts, context, finding)


def _bare(row: Evidence) -> str:
    """A row of the relation log without its times."""
    return str(row.facts["relation"]).partition(" ")[2]


def _start(row: Evidence) -> float:
    return float(getattr(row.locus, "start_s", 0.0))


# Logs


def _grew(facts: Any, context: Evidence, finding: Finding) -> str:
    """Who made and who started what, in the order of the log."""
    verb = "It grew out of" if facts["started"] else "Before it comes"
    return f"{verb} {listed(_rows(facts))} {cite(context)}."


def _went_on(facts: Any, context: Evidence, finding: Finding) -> str:
    more = f"; in all they did {facts['acts']:,} things after it" if facts["more"] else ""
    return f"Afterwards the processes that it made went on: {listed(_rows(facts))}{more} {cite(context)}."


def _rows(facts: Any) -> list[str]:
    """Rows quoted, each with its number and, where the log has one, its time."""
    parts = []
    for row, seconds, text in facts["did"]:
        at = "" if seconds is None else f", {time_of(facts, float(seconds))}"
        parts.append(f"{quote(text)} (row {row}{at})")
    return parts


def _common(facts: Any, context: Evidence, finding: Finding) -> str:
    links = "Its only link is" if facts["links"] == 1 else f"Each of its {facts['links']} links is"
    least = count(int(facts["times"]), "time")
    rarest = "" if facts["links"] == 1 else "the rarest, "
    return (
        f"{links} known from the logs given as normal ({rarest}{name(facts['who'])} starting {name(facts['whom'])}, {least}), so only the "
        f"whole is rare {cite(context)}."
    )


def _upkeep(facts: Any, context: Evidence, finding: Finding) -> str:
    return (
        f"{name(facts['program'])} began it, a program by which the operating system installs, updates or takes stock; the name alone "
        f"does not prove that {cite(context)}."
    )


# Series


def _first(facts: Any, context: Evidence, finding: Finding) -> str:
    other = facts["others"][0]
    return (
        f"{name(other['channel'])} changed first: {_move(other)} at {time_said(facts, other['at_s'])}, {other['lag']} before "
        f"{name(facts['lead'])} at {time_said(facts, facts['lead_s'])}; that is an order in time {cite(context)}."
    )


def _followed(facts: Any, context: Evidence, finding: Finding) -> str:
    parts = [f"{name(o['channel'])} ({_move(o)}) at {time_said(facts, o['at_s'])}, {o['lag']} later" for o in facts["others"]]
    return f"After {name(facts['lead'])} changed at {time_said(facts, facts['lead_s'])} came {listed(parts)} {cite(context)}."


def _move(other: Any) -> str:
    """How another channel changed: its kind and its way."""
    unit = f" {other['unit']}" if other["unit"] else ""
    return f"{other['kind']} from {number(other['before'])} to {number(other['peak'])}{unit}"


def _afterwards(facts: Any, context: Evidence, finding: Finding) -> str:
    channel = name(facts["channel"])
    if facts["fate"] == "moves":
        return f"From {time_said(facts, facts['from_s'])} on, {channel} moves again {cite(context)}."
    unit = f" {facts['channel_unit']}" if facts["channel_unit"] else ""
    after, before = f"{number(facts['after'])}{unit}", f"{number(facts['before'])}{unit}"
    said = {
        "back": f"{channel} is back at {after} (before it {before})",
        "part": f"{channel} goes only part of the way back, to {after} (before it {before})",
        "stays": f"{channel} does not come back: it stays at {after} (before it {before})",
    }[facts["fate"]]
    return f"From {time_said(facts, facts['from_s'])} on, {said} {cite(context)}."


def _gap(facts: Any, context: Evidence, finding: Finding) -> str:
    start, end = time_said(facts, facts["from_s"]), time_said(facts, facts["to_s"])
    if not facts["channel"]:
        return f"Nothing was recorded from {start} to {end}, and a restart after such a gap may look like this {cite(context)}."
    missing, are = count(int(facts["rows"]), "reading"), "is" if facts["rows"] == 1 else "are"
    return f"{missing} of {name(facts['channel'])} {are} missing from {start} to {end}, so a gap may feign it {cite(context)}."


def _lone(facts: Any, context: Evidence, finding: Finding) -> str:
    return (
        f"Only {facts['readings']} reading of {name(facts['channel'])} is out, at {time_said(facts, facts['at_s'])}; a glitch of the "
        f"sensor or of its line would look the same {cite(context)}."
    )


def _stuck(facts: Any, context: Evidence, finding: Finding) -> str:
    all_move = "all" if facts["moving"] == facts["of"] else f"{facts['moving']} of"
    others = "the other channel goes" if facts["of"] == 1 else f"{all_move} the {facts['of']} other channels go"
    return (
        f"{name(facts['channel'])} repeats one value for {count(int(facts['readings']), 'reading')} while {others} on moving; that speaks "
        f"for the sensor or its line rather than for what it measures {cite(context)}."
    )


def _reached(facts: Any, context: Evidence, finding: Finding) -> str:
    unit = f" {facts['channel_unit']}" if facts["channel_unit"] else ""
    level = f"{number(facts['level'])}{unit} or {'more' if facts['up'] else 'less'}"
    places = []
    if facts["here"]:
        places.append(f"{count(int(facts['here']), 'other time')} in this series, first at {time_said(facts, facts['at_s'])}")
    if facts["normal"]:
        places.append(f"{count(int(facts['normal']), 'time')} in the normal data")
    return f"{name(facts['channel'])} reaches {level} also where nothing was found: {listed(places)} {cite(context)}."


# Videos


def _camera(facts: Any, context: Evidence, finding: Finding) -> str:
    return (
        f"At {moment(facts['at_s'])} the whole picture shifts by {count(int(facts['size']), 'pixel')} from one frame to the next, so the "
        f"camera may have moved {cite(context)}."
    )


def _light(facts: Any, context: Evidence, finding: Finding) -> str:
    """A light that changed in a video, or that differs in a photo."""
    if "at_s" in facts:
        way = "brighter" if facts["brighter"] else "darker"
        return (
            f"At {moment(facts['at_s'])} the whole picture gets {way} by {facts['size']} grey levels from one frame to the next, so "
            f"light or exposure may have changed {cite(context)}."
        )
    way = "brighter" if facts["brighter"] else "darker"
    return (
        f"The photo as a whole is {way} than {_compared(facts)}: brightness {facts['light']} against {facts['lowest']} to "
        f"{facts['highest']}, so light or exposure may play a part {cite(context)}."
    )


# Photos


def _compared(facts: Any) -> str:
    kind = "normal" if facts["normal"] else "unremarkable"
    return f"each of {count(int(facts['compared']), f'{kind} photo')}"


def _blur(facts: Any, context: Evidence, finding: Finding) -> str:
    return (
        f"The photo is blurred beside {_compared(facts)}: {facts['sharp_percent']} % as sharp as the least sharp of them, so focus may "
        f"play a part {cite(context)}."
    )


def _size(facts: Any, context: Evidence, finding: Finding) -> str:
    return (
        f"The photo has {facts['width']} × {facts['height']} pixels where {_compared(facts)} has {facts['usual_width']} × "
        f"{facts['usual_height']}, so it may have been taken or cut differently {cite(context)}."
    )


def _glare(facts: Any, context: Evidence, finding: Finding) -> str:
    return (
        f"{facts['white_percent']} % of the region is pure white, of the rest {facts['rest_percent']} %; a reflection looks so "
        f"{cite(context)}."
    )


def _edge(facts: Any, context: Evidence, finding: Finding) -> str:
    edges = listed([str(edge) for edge in facts["edges"]])
    return (
        f"The region reaches the {edges} edge of the picture, where a part that lies a little differently would stand out too "
        f"{cite(context)}."
    )


# Several files


def _other_file(facts: Any, context: Evidence, finding: Finding) -> str:
    at, own = (moment(facts[key], base="clock", epoch_s=float(facts["epoch_s"])) for key in ("at_s", "own_s"))
    side = "before" if context.tool.endswith("before") else "after"
    return (
        f"{name(facts['other'])} shows {label_said(str(facts['label']))} at {at}, {facts['lag']} {side} this at {own}; that is an order "
        f"in time [{context.id}, {facts['finding']}]."
    )


_SAID: dict[str, Said] = {
    "grew out of": _grew, "went on": _went_on, "common links": _common, "upkeep": _upkeep, "channel first": _first,
    "channels followed": _followed, "afterwards": _afterwards, "gap": _gap, "lone reading": _lone, "stuck": _stuck,
    "reached before": _reached, "camera": _camera, "light": _light, "blur": _blur, "size": _size, "glare": _glare, "edge": _edge,
    "other file": _other_file,
}  # fmt: skip
