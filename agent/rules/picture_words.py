"""Words about pictures that several readers share: labels of people and things, singular forms, units, and what says nothing."""

from __future__ import annotations

import re

from agent.rules.words import word_set

_PERSON = (
    r"(?:persons?|people|pedestrians?|man|men|wom[ae]n|child(?:ren)?|kids?|workers?|employees?|operators?|visitors?"
    r"|strangers?|intruders?|thie(?:f|ves)|humans?|someone|somebody|anyone|anybody|staff|customers?|patients?|residents?"
    r"|cyclists?|drivers?|guards?|whoever|who|they|players?|passengers?)"
)
_LABELS: tuple[tuple[str, str], ...] = (
    (_PERSON, "person"), (r"(?:bicycles?|bikes?|cycles?)", "bicycle"), (r"(?:motor(?:cycles?|bikes?)|mopeds?|scooters?)", "motorcycle"),
    (r"(?:cars?|taxis?|automobiles?)", "car"), (r"(?:trucks?|lorr(?:y|ies)|vans?)", "truck"), (r"bus(?:es)?", "bus"), (r"trains?", "train"),
    (r"(?:vehicles?|forklifts?(?: trucks?)?|fork ?lifts?)", "vehicle"), (r"(?:skateboard(?:s|ers?)?)", "skateboard"),
    (r"(?:bags?|backpacks?|suitcases?|luggage|parcels?|packages?|briefcases?|handbags?|rucksacks?)", "bag"),
    (r"dogs?", "dog"), (r"cats?", "cat"), (r"birds?", "bird"), (r"horses?", "horse"), (r"animals?", "animal"),
    (r"(?:objects?|things?|items?|anything|something)", "anything"),
)  # fmt: skip
ALL_LABELS = "|".join(words for words, _ in _LABELS)
SUBJECT = re.compile(rf"\b(?P<label>{ALL_LABELS})\b")
_UNITS = {
    "millimeter": "mm",
    "millimetre": "mm",
    "centimeter": "cm",
    "centimetre": "cm",
    "micron": "µm",
    "um": "µm",
    "inche": "inch",
    "pixel": "px",
    "percent": "%",
    "per cent": "%",
}
_FILLER = word_set(
    """
    a all an and any anybody anyone anywhere appear appears are as at be been being by camera diameter do does each every for
    found frame from somebody someone has
    have having her here his if image in is it its less like more my no of on or our part parts photo picture
    cover covering covers occupies occupying present same scene seen show shows size some such surface than that the their
    there these this those time to together video visible was were when which who with
    """
)


BARE_OF = re.compile(r"\b(?P<x>helmet|mask|glove|hat)less\b")
"""A thing that somebody goes without, in one word."""


_PLAINLY = re.compile(
    r"persons?|people|pedestrians?|humans?|someone|somebody|anyone|anybody|whoever|who|they|m[ae]n or wom[ae]n|bicycles?"
    r"|bikes?|cycles?|motorcycles?"
    r"|motorbikes?|cars?|automobiles?|trucks?|lorr(?:y|ies)|bus(?:es)?|trains?|vehicles?|skateboards?|bags?|dogs?|cats?|birds?|horses?"
    r"|animals?|objects?|things?|items?|anything|something"
)
"""Words that say no more than the label they are read as."""


def narrower(body: str) -> list[tuple[str, str]]:
    """(word, label) of people and things in a body that say more than the label does: a child is not any person.

    >>> narrower("a child and a dog"), narrower("two people")
    ([('child', 'person')], [])
    """
    said = [m["label"] for m in SUBJECT.finditer(body)]
    return list(dict.fromkeys((word, label_of(word)) for word in said if not _PLAINLY.fullmatch(word)))


def label_of(word: str) -> str:
    """The label that detectors have for a thing; an unknown one in the singular.

    >>> label_of("pedestrians"), label_of("lorry"), label_of("ladders")
    ('person', 'truck', 'ladder')
    """
    return next((label for words, label in _LABELS if re.fullmatch(words, word)), singular(word))


def singular(word: str) -> str:
    """A noun in the singular.

    >>> singular("scratches"), singular("bodies"), singular("glass")
    ('scratch', 'body', 'glass')
    """
    if re.search(r"(?:ch|sh|ss|x)es$", word):
        return word[:-2]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is", "glasses")) and len(word) > 3 else word


def unit_of(said: str) -> str:
    """A unit of length or area as its sign.

    >>> unit_of("millimetres"), unit_of("square mm"), unit_of("pixels")
    ('mm', 'mm²', 'px')
    """
    plain = said.rstrip("s") if said not in ("ft", "mm", "inches") else said
    square = plain.startswith("square ")
    plain = _UNITS.get(plain.removeprefix("square "), plain.removeprefix("square "))
    plain = {
        "meter": "m",
        "metre": "m",
        "inches": "inch",
        "feet": "ft",
        "micron": "µm",
        "mm2": "mm²",
        "cm2": "cm²",
        "px2": "px²",
    }.get(plain, plain)
    return plain + "²" if square else plain


def missed_words(rest: str) -> tuple[str, ...]:
    """What is left of a body once everything read is blanked, without words that say nothing alone."""
    pieces = re.split(r"\s{2,}|[,;.]", rest)
    found = []
    for piece in pieces:
        words = piece.split()
        while words and words[0] in _FILLER:
            words = words[1:]
        while words and words[-1] in _FILLER:
            words = words[:-1]
        if words:
            found.append(" ".join(words))
    return tuple(dict.fromkeys(found))
