"""A detector that a person names: "use INP-Former", "check these with cpr", "what does FastFlow say?", "choose yourself again".

Only the catalogue's names are known, with any of "_", "-", " " or nothing between their words, and only behind a word that asks for
their use: a "gaussian" alone is a word like others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

JUDGE_ANEW = "what is wrong here?"
"""What is asked by naming a detector and nothing else."""
OWN_CHOICE = "*"
"""Stands for the planner's own choice of a detector."""
_AGAIN = r"(?:\s+(?:instead|again|now|please|for (?:this|that|these|those|it|them)|on (?:this|that|these|those|it|them)|here))*"
_OWN = re.compile(
    r"\b(?:use (?:the |your )?(?:default|usual|automatic|own) (?:detector|choice|method)s?|choose (?:the detector |the method )?yourself"
    rf"|(?:go )?back to (?:the |your )?(?:default|automatic|own) (?:detector|choice|method)s?){_AGAIN}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class NamedDetector:
    """The detector's name (`OWN_CHOICE`: none in particular) and what else the message says."""

    name: str
    rest: str


def named_detector(message: str, names: Iterable[str]) -> NamedDetector | None:
    """The detector of `names` that a message asks to be used, and the message without that.

    >>> named_detector("Use INP-Former, please: which are broken?", ("inp_former", "cpr"))
    NamedDetector(name='inp_former', rest='which are broken?')
    >>> named_detector("check them with CPR", ("inp_former", "cpr")).rest
    'check them'
    >>> named_detector("use cpr instead", ("cpr",)).rest, named_detector("is it gaussian?", ("gaussian",))
    ('what is wrong here?', None)
    """
    known = tuple(names)
    for pattern, asks_alone in _patterns(known):
        found = pattern.search(message)
        if found is not None:
            name = next(name for name in known if _key(name) == _key(found["name"]))
            return NamedDetector(name, JUDGE_ANEW if asks_alone else _rest(message, found))
    found = _OWN.search(message)
    return None if found is None else NamedDetector(OWN_CHOICE, _rest(message, found))


def _rest(message: str, found: re.Match[str]) -> str:
    """The message without the match; with nothing left, everything is to be judged anew."""
    left = f"{message[: found.start()].rstrip()} {message[found.end() :].lstrip()}".strip(" ,;:.!-\n\t")
    left = re.sub(r" (?=[?!.,])", "", left)
    left = re.sub(
        r"^(?:please|and|then|to|can you|could you|now)\b[ ,]*|[ ,]*\b(?:please|and|then|to)$", "", left, flags=re.IGNORECASE
    )
    return left if re.search(r"[^\W\d_]{3}", left) else JUDGE_ANEW


def _key(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


@lru_cache(maxsize=4)
def _patterns(names: tuple[str, ...]) -> tuple[tuple[re.Pattern[str], bool], ...]:
    """Patterns with a group `name`, and whether nothing else is asked by what they match."""
    spelt = "|".join(r"[\s_-]?".join(map(re.escape, name.split("_"))) for name in sorted(names, key=len, reverse=True))
    kind = r"[\s-](?:detector|method|model)"
    named = rf"`?(?P<name>{spelt})`?(?![\w-]|\.\w)(?:{kind})?"
    asked = rf"\b(?:what|how) (?:does|do|would|did) {named} (?:say|find|see|think|judge)\b"
    use = r"\b(?:use|using|with|try|run|via|through|by|switch to|apply)\s+"
    plain = rf"{use}{named}{_AGAIN}(?:\s*[,:;]?\s*please\b)?"
    spoken = rf"{use}the {named.removesuffix('?')}{_AGAIN}"  # "with the rarity you expect" names no detector
    return tuple((re.compile(pattern, re.IGNORECASE), pattern is asked) for pattern in (asked, plain, spoken))
