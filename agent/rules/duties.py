"""What breaks a duty: the opposite of a comparison, of a state, of wearing something, of keeping a distance; and verbs that agree."""

from __future__ import annotations

import re

_STAY = r"(?:stay|stays|be|remain|remains|lie|lies|run|runs|keep|keeps|is|are|have|has)"
_VALUE = r"(?=\s*(?:about )?[-−+]?\d)(?!\s*\d{1,2}(?::\d|\s*(?:am|pm|o'clock|uhr)\b))"
_BEYOND: tuple[tuple[str, str], ...] = (
    # a comparison with a number, and where it does not hold
    (rf"\b(?:{_STAY} )?(?:strictly )?(?:below|under|less than|lower than|<){_VALUE}", "at least"),
    (rf"\b(?:{_STAY} )?(?:strictly )?(?:above|over|more than|higher than|greater than|>){_VALUE}", "at most"),
    (rf"\b(?:{_STAY} )?(?:at least|>=|no less than|not less than|not below|not under){_VALUE}", "below"),
    (rf"\b(?:{_STAY} )?(?:at most|up to|no more than|not more than|not exceed|not above|not over|<=){_VALUE}", "above"),
    (rf"\b(?:{_STAY} )?(?:always )?(?:between|within|in the range(?: of)?|in a range of|from|inside){_VALUE}", "outside"),
    (rf"\b(?:{_STAY} )?outside(?: of)?{_VALUE}", "between"),
)
_ANTONYMS = (
    ("off", "on"), ("closed", "open"), ("shut", "open"), ("stopped", "running"), ("idle", "active"), ("inactive", "active"),
    ("locked", "unlocked"), ("standing still", "running"),
)  # fmt: skip
_OTHER_STATE = {**dict(_ANTONYMS), **{b: a for a, b in reversed(_ANTONYMS)}}
_STATE = re.compile(
    rf"^(?:be|stay|remain|be kept|always be|keep) (?:switched |turned )?(?P<s>{'|'.join(_OTHER_STATE)})(?! (?:the|a|an|its"
    rf"|top)\b)(?P<rest>(?: .*)?)$"
)
_APART = re.compile(
    r"^(?:keep|stay|be|remain|have|maintain) (?:a (?:safe )?distance of )?(?:at least )?(?P<d>\d+(?:\.\d+)? ?\w+)"
    r"(?: of distance| distance)? (?:away from|from|to|off|apart from) (?P<z>.+)$"
)
_OUT_OF = re.compile(r"^(?:keep|stay|remain|be) (?:out of|off|away from|clear of) (?P<z>.+)$")
_WEAR = re.compile(r"^(?:always )?(?:wear|have|carry|hold|show|use|bear)\s+(?P<z>.+)$")


def beyond(text: str) -> str:
    """A comparison with a number turned into the opposite one, or "".

    >>> beyond("the pressure be between 5 and 7 bar"), beyond("the lid be under the cap")
    ('the pressure outside 5 and 7 bar', '')
    """
    for words, opposite in _BEYOND:
        found = re.search(words, text)
        if found is not None:
            return f"{text[: found.start()]}{opposite}{text[found.end() :]}"
    return ""


def broken(x: str, y: str) -> str:
    """What breaks "x must y".

    >>> broken("the door", "be closed"), broken("each box", "contain 6 bottles"), broken("workers", "wear helmets")
    ('the door is open', 'a box does not contain 6 bottles', 'workers without helmets')
    """
    if opposite := beyond(f"{x} {tolerances(y)}"):
        return opposite
    x = re.sub(r"^(?:each|every)\b", "a", re.sub(r"^all (?:of )?(?:the )?", "", x))
    if x == "there":
        if (number := re.match(r"^be (?P<z>(?:exactly |always )?\d+ .+)$", y)) is not None:
            return f"there are not {number['z']}"
        if (none := re.match(r"^be no (?P<z>.+)$", y)) is not None:
            return none["z"]
        return f"there is no {re.sub(r'^be (?:(?:an?|the|always) )*', '', y)}"
    if (apart := _APART.match(y)) is not None:
        return f"{x} closer than {apart['d']} to {apart['z']}"
    if (out := _OUT_OF.match(y)) is not None:
        return f"{x} in {out['z']}"
    if (worn := _WEAR.match(y)) is not None:
        return f"{x} without {worn['z']}"
    if (state := _STATE.match(y)) is not None:
        return f"{x} {_verb('be', x)} {_OTHER_STATE[state['s']]}{state['rest']}"
    verb, _, rest = y.partition(" ")
    if verb in ("be", "stay", "remain"):
        return f"{x} {_verb('be', x)} not {rest}"
    return f"{x} {_verb('do', x)} not {y}"


def said_of(x: str, y: str) -> str:
    """What breaks “x must not y”, as a sentence.

    >>> said_of("the cable", "be bent"), said_of("the two wires", "touch"), said_of("there", "be any dust on it")
    ('the cable is bent', 'the two wires touch', 'dust on it')
    """
    x = re.sub(r"^(?:each|every)\b", "a", x)
    verb, _, rest = y.partition(" ")
    if x == "there" and verb == "be":
        return re.sub(r"^(?:any|an?|some) ", "", rest)
    return f"{x} {_verb(verb, x)} {rest}".strip()


def _verb(verb: str, x: str) -> str:
    """A verb in the form that agrees with its subject."""
    last = (re.findall(r"[a-z]+", x) or [""])[-1]
    plural = (last.endswith("s") and not re.search(r"(?:ss|us|is|gas|lens)$", last)) or last in (
        "people",
        "men",
        "women",
        "they",
        "children",
    )
    return ("are" if plural else "is") if verb == "be" else agreeing(verb, plural)


def agreeing(verb: str, plural: bool) -> str:
    """A verb's base form as the third person has it.

    >>> agreeing("carry", False), agreeing("touch", False), agreeing("touch", True)
    ('carries', 'touches', 'touch')
    """
    if plural or not re.fullmatch(r"[a-z]+", verb):
        return verb
    if verb == "have":
        return "has"
    if re.search(r"[^aeou]y$", verb):
        return verb[:-1] + "ies"
    return verb + ("es" if re.search(r"(?:s|sh|ch|x|o)$", verb) else "s")


def tolerances(text: str) -> str:
    """A value with its tolerance (“72 plus or minus 2”) as the range that it is.

    >>> tolerances("be 72 °c ± 2"), tolerances("be 5 bar")
    ('be between 70 and 74 °c', 'be 5 bar')
    """
    return _PLUS_MINUS.sub(
        lambda m: (
            f"between {float(m['n']) - float(m['d']):.10g} and {float(m['n']) + float(m['d']):.10g} "
            f"{(m['u'] or m['v'] or '').strip()}".strip()
        ),
        text,
    )


_PLUS_MINUS = re.compile(
    r"(?P<n>[-−]?\d+(?:\.\d+)?)\s*(?P<u>(?:°\s?[cf]?|[a-zµ]{1,3}(?:/\w+)?)\s*)?(?:±|\+/-|\+-|plus or minus|plus/minus|plus minus)"
    r"\s*(?P<d>\d+(?:\.\d+)?)(?P<v>\s*(?:°\s?[cf]?|(?!for\b|is\b|on\b|in\b|at\b)[a-zµ]{1,3}(?:/\w+)?)(?!\w))?(?!\s*%)"
)
