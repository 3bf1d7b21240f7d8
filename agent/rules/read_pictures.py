"""Reading a definition about pictures and video: a defect, a motion, or what a picture shows."""

from __future__ import annotations

import re

from agent.rules.conditions import Condition
from agent.rules.numbers import find_lasting
from agent.rules.picture_words import SUBJECT, narrower
from agent.rules.read_concept import read_concept
from agent.rules.read_motion import about_motion, read_motion
from agent.rules.read_region import about_defects, alternatives, read_region

_NOBODY = re.compile(
    r"^(?:there (?:is|are) )?(?:nobody|no ?one|no person|no people|not a single person|no (?P<x>[a-z]+))\b(?P<rest>.*)$"
)
_DOING = re.compile(
    r"^(?:any |the )?(?=(?:loitering|lingering|running|climbing|fighting|trespassing|crowding|falling|queuing|gathering|entering|leaving"
    r"|parking|jumping|brawling|littering|stealing|walking|driving|standing|sitting|lying|sleeping)\b)"
)
_MANY = re.compile(r"^(?:an? |the |any )?(?:big |large |small |long )?(?:crowd|group|queue)s?\b(?! of)")
_OF_ONE = ("runs", "falls", "enters", "leaves", "stops", "carries", "climbs", "goes the wrong way")
"""What each does alone: that so many do it at once no motion condition says."""
_SO_MANY = re.compile(
    r"^(?:an? |the |any )?(?:crowd|group|queue) of (?P<n>(?:more than |at least "
    r"|over )?\d+(?: or more)?)\b(?! \w+s\b| people)"
)
_DENIED = re.compile(r"\b(?:not|never|nobody|no ?one|none)\b")


def somebody(body: str) -> str:
    """A body that names only an act as one about somebody who does it.

    >>> somebody("loitering near the gate"), somebody("a dog on the track")
    ('a person loitering near the gate', 'a dog on the track')
    """
    body = _SO_MANY.sub(r"\g<n> people", body)
    if SUBJECT.search(body) is not None:
        return body
    return _DOING.sub("a person ", _MANY.sub(r"\g<0> of people", body))


def moves(body: str) -> bool:
    """True when a definition is about somebody or something that a camera follows, also where nobody is named or meant."""
    return about_motion(somebody(body)) or (_NOBODY.match(body) is not None and find_lasting(body) is not None)


def read_pictures(body: str) -> tuple[list[Condition], tuple[str, ...], tuple[str, ...]]:
    """The conditions of a definition about pictures or video, the words not understood, and notes.

    >>> found, missed, notes = read_pictures("a child near the pool")
    >>> found[0].subject, notes
    ('person', ('“child” was read as any person: the object finder tells no more.',))
    """
    if about_defects(body) and _DENIED.search(body) is None:
        read = [read_region(part) for part in alternatives(body)]
        if any(re.search(r"\d", words) for _, missed in read for words in missed):
            return [read_concept(body)], (), ()  # "fewer than 12 pills in the blister" is about no region
        return [region for region, _ in read], tuple(dict.fromkeys(m for _, missed in read for m in missed)), ()
    body = somebody(body)
    absent = _NOBODY.match(body)
    if absent is not None and find_lasting(body) is not None:
        thing = absent["x"] or "person"
        if SUBJECT.search(thing) is not None:
            motion, missed = read_motion(f"a {thing} {absent['rest']}")
            return [motion.model_copy(update={"predicate": "is absent"})], missed, ()
    if about_motion(body) and _DENIED.search(body) is None:
        motion, missed = read_motion(body)
        if len(" ".join(missed).split()) > 1 and motion.predicate == "stays" and motion.zone is None:
            return [read_concept(body, motion=motion)], (), ()
        another = motion.predicate != "is left behind" and any(SUBJECT.search(words) for words in missed)
        if another or (motion.count and motion.predicate in _OF_ONE):  # another thing is meant, which the motion leaves out
            return [read_concept(body, motion=motion.model_copy(update={"object": "thing"}))], (), ()
        conditions: list[Condition] = [motion]
        if motion.predicate in ("is there", "is near", "stays") and motion.seconds is None:
            if missed:  # the text says more than the motion does, and it says all of it
                return [read_concept(body, motion=motion)], (), ()
            conditions.append(read_concept(body, motion=motion))
        said = tuple(f"“{word}” was read as any {label}: the object finder tells no more." for word, label in narrower(body))
        return conditions, missed, said
    return [read_concept(body)], (), ()
