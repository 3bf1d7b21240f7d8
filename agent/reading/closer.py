"""A wish for a closer look at a long video that was only skimmed: "refine", "look closer between 10:00 and 12:00", "read the rest".

Only the wish is taken out of the message; times and everything else are read as in any other question.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

REFINE = "Refine"
"""What a page says by itself, before the question that the first look answered."""
ASKED_ALONE = "what is wrong here?"
_CLOSER = re.compile(
    r"^\s*(?:please\s+|now\s+|ok(?:ay)?[,.]?\s+|(?:can|could) you\s+)*"
    r"(?:refine(?:\s+(?:it|this|that|the (?:answer|result|video|clip|rest)))?"
    r"|(?:look|have a look|take a (?:closer )?look|watch|read)\s+(?:(?:at|through)\s+)?(?:it\s+)?(?:more\s+)?"
    r"(?:closer|closely|carefully|in full|the rest(?: of (?:it|the (?:video|clip)))?"
    r"|(?:all|the whole) of (?:it|the (?:video|clip))|the whole (?:video|clip))"
    r"|(?:go|carry) on (?:reading|refining|watching))\b(?:\s*(?:,\s*)?please\b)?",
    re.IGNORECASE,
)  # fmt: skip


@dataclass(frozen=True)
class Closer:
    """What the message asks besides."""

    rest: str


def closer_look(message: str) -> Closer | None:
    """The wish for a closer look, None in other messages.

    >>> closer_look("Refine"), closer_look("refine: when does something happen?")
    (Closer(rest='what is wrong here?'), Closer(rest='when does something happen?'))
    >>> closer_look("look closer between 10:00 and 12:00").rest
    'what is wrong between 10:00 and 12:00'
    >>> closer_look("Please read the rest of the video.").rest, closer_look("what happens at 10:00?")
    ('what is wrong here?', None)
    """
    found = _CLOSER.match(message)
    if found is None:
        return None
    colon = message[found.end() :].lstrip().startswith((":", ";", ","))
    rest = message[found.end() :].strip(" ,:;.!\n\t")
    if not re.search(r"\w", rest):
        return Closer(ASKED_ALONE)
    if colon:
        return Closer(rest)
    return Closer(f"what is wrong {re.sub(r'^(?:it|this|that) ', '', rest)}")
