"""Reading a definition about people and things that a camera follows: who does what, where, for how long, how near.

Labels are those of detectors (singular, "person", "car"); a zone is a place by its name.
"""

from __future__ import annotations

import re

from agent.rules.conditions import MotionCondition, Predicate
from agent.rules.numbers import find_lasting
from agent.rules.picture_words import ALL_LABELS, BARE_OF, SUBJECT, label_of, missed_words, unit_of


def _forms(*verbs: str) -> str:
    """Alternatives for all forms of verbs; an irregular one is given as "base past participle".

    >>> _forms("fall fell fallen", "trip", "carry")
    'fall(?:s|ing)?|fell|fallen|trip(?:s|ping|ped)?|carr(?:y|ies|ying|ied)'
    """
    found = []
    for verb in verbs:
        base, *irregular = verb.split()
        past = "" if irregular else "ed"
        if base.endswith("y") and base[-2] not in "aeou":
            forms = [f"{base[:-1]}(?:y|ies|ying{'|ied' if past else ''})"]
        elif base.endswith("ie"):
            forms = [f"{base[:-2]}(?:ie|ies|ying{'|ied' if past else ''})"]
        elif base.endswith("e"):
            forms = [f"{base[:-1]}(?:e|es|ing{'|ed' if past else ''})"]
        else:
            end = "es" if base.endswith(("s", "sh", "ch", "x", "go")) else "s"
            more = base[-1] if re.fullmatch(r"[^aeiou]{1,3}[aeiou][bgmnpt]", base) else ""
            forms = [f"{base}(?:{end}|{more}ing{f'|{more}ed' if past else ''})?"]
        found += [*forms, *irregular]
    return "|".join(found)


def _with(verbs: str, after: str) -> str:
    """A verb's forms followed by something."""
    return f"(?:{_forms(*verbs.split('; '))}) {after}"


_GOING = _forms(
    "go went gone", "walk", "step", "run ran", "come came", "drive drove driven", "ride rode ridden", "move", "travel"
)
_COMING = _forms("come came", "get got gotten", "stand stood")
_ACTS: tuple[tuple[Predicate, str], ...] = (
    ("is left behind", r"(?:is |are |was |been |being )?(?:left (?:behind|alone|unattended|lying around|standing around)"
        r"|abandoned|unattended|forgotten)|(?:leav(?:es|ing|e)|left) (?:an? |the |their |his |her )?(?:\w+ )?(?:behind|unattended)"),
    ("goes the wrong way", rf"(?:{_GOING})? ?(?:in the wrong direction|(?:in )?the wrong way"
        r"|against (?:the )?(?:traffic|flow|direction|arrows?)|in the opposite direction|backwards)"),
    ("is too close to", rf"(?:is |are |was |been |be |(?:{_COMING}) )?(?:too close(?: to| together)?"
        r"|closer (?:to .{1,30}? )?than|less than .{1,12} (?:from|apart|away from))"),
    ("enters", "|".join((
        _forms("enter", "approach"), rf"(?:{_forms('cross')})(?: into| over)?", rf"(?:{_forms('intrude')})(?: into)?",
        r"trespass(?:es|ing|ed)?(?: on| in)?", _with("go went gone", "in(?:to|side)"), _with("walk", "in(?:to)?"),
        _with("step", "(?:on|in)(?:to)?"), _with("drive drove driven", "(?:in|on)to"),
        _with("come came; climb; break broke broken; get got; reach", "into"),
    ))),
    ("leaves", "|".join((_forms("leave left", "exit"), _with("walk; go went gone; run ran; come came", "out(?: of)?")))),
    ("fights", _forms(
        "fight fought", "brawl", "punch", "hit hit", "attack", "kick", "push", "beat beaten", "slap", "scuffle", "wrestle",
    )),
    ("falls", "|".join((
        rf"(?:{_forms('fall fell fallen', 'topple', 'tumble', 'keel')})(?: down| over)?",
        _forms("collapse", "faint", "trip", "slip", "stumble"), _with("pass", "out"),
        r"(?:l(?:ies|ying|ie)|lay|lain) (?:on|down)|lay(?:s|ing)? on",
        _with("drop; sink sank sunk; go went gone", "to the (?:floor|ground)"),
    ))),
    ("climbs", rf"(?:{_forms('climb')})(?: over| on| up| onto)?|(?:{_forms('jump')})(?: over| onto)?"),
    ("crowds", rf"(?:{_forms('crowd')})(?: of)?|{_forms('gather', 'queue', 'assemble')}|group(?:s)? of|throng"),
    ("runs", "|".join((
        _forms("run ran", "sprint", "rush", "flee fled"), r"rac(?:es|ing|ed)|speed(?:s|ing)|sped",
        _with("move; go went gone; drive drove driven; walk", "(?:too )?(?:fast|quickly)"),
    ))),
    ("stays", "|".join((
        rf"(?:{_forms('stand stood')})(?: still| around)?|is still|motionless", _with("hang hung", "around"),
        _forms("stay", "loiter", "remain", "linger", "wait", "park", "sit sat", "sleep slept"),
    ))),
    ("stops", _forms("stop", "halt", "brake")),
    ("touches", "|".join((_forms("touch", "grab"), _with("collide", "with"), "hits", _with("bump; crash; run ran", "into")))),
    ("carries", "|".join((
        _forms("carry", "steal stole stolen", "remove"), _with("take took taken", "away"), _with("pick", "up"),
    ))),
    ("is near", rf"(?:is |are |was |been |(?:{_forms('stand stood', 'work')}) )?(?:near(?:by)?(?: to)?|next to|close to|beside"
        r"|by (?=the )|around (?=the )|at (?=the (?:press|machine|robot|saw|conveyor|oven|tank|engine|crane))|in front of"
        r"|behind (?=the ))"),
)  # fmt: skip
_ZONE = re.compile(
    r"\b(?:in(?:side|to)?|on(?:to)?|at|within|over|across|through|under|through|off)\s+(?:the |our |my |this |that "
    r"|a )?(?P<q>zone|area|region)?\s*[\"“'‘«]?(?P<z>(?!front\b|least\b|most\b|once\b|same time\b|night\b|work\b|group"
    r"|crowd|picture|image|video|frame|wrong)[a-z][\w-]*(?: [\w-]+){0,3}?)[\"”'’»]?(?:\s+(?P<k>zone|area"
    r"|region))?(?=\s*$|\s+(?:for|longer|more|without|with|when|while|and|or|is|are|near|at night)\b|\s{2}|[,;.])"
)
_BY_PLACE = re.compile(
    r"\b(?:near(?:by)?|next to|close to|beside|around|by|in front of|behind)\s+(?:the |our |my |this |that |a "
    r"|an )?(?P<z>[a-z][\w-]*(?: [\w-]+){0,2}?)(?=\s*$|\s{2}|\s+(?:for|without|with|when|while|and|or)\b|[,;.])"
)
_DIRECT = re.compile(
    r"^\s*(?:the |our |my |this |that |a |an )?[\"“'‘«]?(?P<z>[a-z][\w-]*(?: [\w-]+){0,3}?)[\"”'’»]?(?:\s+(?P<k>zone|area"
    r"|region))?(?=\s*$|\s+(?:for|longer|more|without|with|when|while|and|or)\b|\s{2}|[,;.])"
)
_WITHOUT = re.compile(
    r"\b(?:without(?: wearing| having| carrying)?|with no|not wearing|who (?:do(?:es)?|is|are) not wear(?:ing)?"
    r"|do(?:es)? not wear|lacking|missing)\s+(?:an? |the |any |their |his |her |its )?(?P<x>[a-z][\w-]*(?: (?!near|in"
    r"|on|at|by|next|for|inside|is|are|close|who|and|or)[\w-]+){0,2})"
)
_WITH = re.compile(
    r"\b(?:with|wearing|holding|carrying|in)\s+(?P<art>an? |the |any )?(?P<x>(?!the\b|group|crowd|zone"
    r"|area)(?:[a-z][\w-]* )?(?:helmets?|hats?|masks?|gloves?|vests?|knife|knives|guns?|weapons?|glasses|goggles"
    r"|uniforms?|jackets?|hoods?|shirts?|shoes|coats?|phones?|ladders?|sticks?|bats?|clothes|hard hats?|ear protection"
    r"|backpacks?|bags?|umbrellas?|dogs?))\b"
)
_COUNT = re.compile(
    r"\b(?P<m>more than|over|at least)?\s*(?P<n>\d{1,4})\s*(?P<p>or more|\+)?\s+(?=(?:\w+ )?(?:" + ALL_LABELS + r")\b)"
)
_DISTANCE = re.compile(
    r"\b(?:closer (?:to .{1,30}? )?than|less than|within|under)\s*(?P<n>\d+(?:\.\d+)?)\s*(?P<u>met(?:er|re)s?|m|cm"
    r"|centimet(?:er|re)s?|px|pixels?|feet|ft)\b"
)


def about_motion(body: str) -> bool:
    """True when a definition names somebody or something that a camera follows.

    >>> about_motion("bicycles"), about_motion("the lid is open")
    (True, False)
    """
    return SUBJECT.search(body) is not None


def read_motion(body: str) -> tuple[MotionCondition, tuple[str, ...]]:
    """(condition, words not understood) of a definition about people and things that move.

    >>> found, _ = read_motion("a person without a helmet near the press")
    >>> found.subject, found.predicate, found.object, found.without_attributes
    ('person', 'is near', 'press', ('helmet',))
    >>> found, _ = read_motion("a bag left behind for more than 30 seconds on the platform")
    >>> found.predicate, found.seconds, found.zone
    ('is left behind', 30.0, 'platform')
    """
    left = body
    values: dict[str, object] = {}
    lasting = find_lasting(left)
    if lasting is not None:
        values["seconds"] = lasting.value
        left = left[: lasting.a] + " " * (lasting.b - lasting.a) + left[lasting.b :]
    if (bare := BARE_OF.search(left)) is not None:
        values["without_attributes"] = (bare["x"],)
        left = left[: bare.start()] + " " * len(bare[0]) + left[bare.end() :]
    for name, pattern in (("without_attributes", _WITHOUT), ("with_attributes", _WITH)):
        worn = pattern.search(left)
        if worn is None or "without_attributes" in values:
            continue
        rest = left[: worn.start()] + " " * len(worn[0]) + left[worn.end() :]
        if SUBJECT.search(rest) is not None:  # a missing forklift goes without nothing
            values[name], left = (worn["x"].strip(),), rest
    distance = _DISTANCE.search(left)
    if distance is not None:
        values |= {"distance": float(distance["n"]), "unit": unit_of(distance["u"])}
    count = _COUNT.search(left)
    if count is not None:
        values["count"] = int(count["n"]) + (count["m"] in ("more than", "over"))
        left = left[: count.start()] + " " * len(count[0]) + left[count.end() :]
    subject = SUBJECT.search(left)
    assert subject is not None
    values["subject"] = label_of(subject["label"])
    predicate, act = _predicate(left, subject)
    if (
        predicate == "is left behind"
        and values["subject"] == "person"
        and (bag := SUBJECT.search(left, subject.end())) is not None
    ):
        values["subject"] = label_of(bag["label"])
        subject = bag
    if count is not None and predicate in ("is there", "stays", "is near") and int(str(values["count"])) > 1:
        act = act if predicate == "stays" else None
        predicate = "crowds"
    if distance is not None:
        predicate = "is too close to"
        left = left[: distance.start()] + " " * len(distance[0]) + left[distance.end() :]
    if predicate == "is there" and "seconds" in values:
        predicate = "stays"
    values["predicate"] = predicate
    rest = left
    for a, b in sorted({subject.span(), *([act.span()] if act is not None else [])}):
        rest = rest[:a] + " " * (b - a) + rest[b:]
    rest = _objects(rest, act.end() if act is not None else subject.end(), predicate, values)
    rest = re.sub(r"\bwhoever\b", " ", rest)
    return MotionCondition(**values), missed_words(rest)  # type: ignore[arg-type]


def _objects(rest: str, at: int, predicate: str, values: dict[str, object]) -> str:
    """What stands behind the act: a zone, or the other thing it is done to."""
    if (link := re.match(r"\s*(?:to|from|than|of)\s+", rest[at:])) is not None:
        at += link.end()
    direct = _DIRECT.match(rest[at:])
    if direct is not None and predicate in ("enters", "leaves", "climbs"):
        values["zone"] = direct["z"]
        return rest[:at] + " " * direct.end() + rest[at + direct.end() :]
    if direct is not None and predicate in ("is near", "is too close to", "touches", "carries", "fights"):
        found = SUBJECT.fullmatch(direct["z"])
        values["object"] = label_of(found["label"]) if found is not None else direct["z"]
        rest = rest[:at] + " " * direct.end() + rest[at + direct.end() :]
    zone = _ZONE.search(rest)
    if zone is not None and "zone" not in values:
        values["zone"] = zone["z"]
        rest = rest[: zone.start()] + " " * len(zone[0]) + rest[zone.end() :]
    elif (
        "zone" not in values and predicate not in ("is near", "is too close to") and (place := _BY_PLACE.search(rest)) is not None
    ):
        values["zone"] = place["z"]
        rest = rest[: place.start()] + " " * len(place[0]) + rest[place.end() :]
    elif predicate in ("is too close to",) and "object" not in values and (other := SUBJECT.search(rest)) is not None:
        values["object"] = label_of(other["label"])
        rest = rest[: other.start()] + " " * len(other[0]) + rest[other.end() :]
    return rest


def acts_in(text: str) -> list[Predicate]:
    """The acts that words name, in the order in which they are said.

    >>> acts_in("he ran and fell down")
    ['runs', 'falls']
    """
    return [name for _, name in sorted((match.start(), name) for name, match in _found(text))]


def _found(text: str) -> list[tuple[Predicate, re.Match[str]]]:
    return [(name, m) for name, words in _ACTS if (m := re.search(rf"(?<![\w-])(?:{words})(?![\w-])", text)) is not None]


def _predicate(text: str, subject: re.Match[str]) -> tuple[Predicate, re.Match[str] | None]:
    """The act nearest behind the subject (or, for a crowd "of people", before it)."""
    found = _found(text)
    behind = [(name, m) for name, m in found if m.start() >= subject.end() - 1]
    crowd = [(name, m) for name, m in found if name == "crowds" and m.end() <= subject.start() + 1]
    leaving = [(name, m) for name, m in found if name == "is left behind"]
    if crowd:
        return crowd[0]
    if leaving:
        return leaving[0]
    sure = [pair for pair in behind if pair[0] != "is near"]
    if not behind:
        return "is there", None
    return min(sure or behind, key=lambda pair: (pair[1].start(), -len(pair[1][0])))
