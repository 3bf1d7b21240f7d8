"""Does a message ask for a stretch of a video as a file: "send me the clip of that event", "cut 0:05 to 0:10 out"?"""

from __future__ import annotations

import re

_GET = (
    r"(?:(?:export|save|send|give|get|download|extract|share|attach|make|cut|create|produce|hand|store|record)"
    r"|(?:i|we) (?:want|need|would like))"
)
_OTHER = (
    r"(?!(?:\w+ )*?(?:reports?|csv|pdf|html|json|excel|summary|results?|findings|frames?|pictures?|images?|photos?|screenshots?|lists?"
    r"|tables?|counts?|numbers?|descriptions?|overview)\b)"
)
_CLIP = r"(?:clips?|snippets?|excerpts?|mp4|cut-?outs?)"
_FILM = r"(?:video|footage|recording|film|segments?|parts?|sections?|stretch)"
_OF = r"(?:of|from|between|around|showing|with|where|when|in which)"
_WHICH = r"(?:it|this|that|these|those|the|every|each|all|both|\d[\d:.]*)"
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b{_GET}(?: me| us| him| her| them| it)? {_OTHER}(?:\w+ ){{0,4}}{_CLIP}\b(?!\.)",
        rf"\b{_GET}(?: me| us| him| her| them)? {_OTHER}(?:\w+ ){{0,4}}{_FILM} {_OF}\b",
        rf"\b{_GET} {_OTHER}[^?]{{1,60}}\b(?:as|into) (?:an? |its own |one )?(?:\w+ )?(?:{_CLIP}|video(?: file)?)\b",
        rf"(?<!power )\b(?:cut|trim) (?:out )?{_WHICH} ?(?:[^?]{{0,60}}\b(?:out|to|till|until|and)\b|$)",
    )
)
_NOT = re.compile(
    r"\b(?:don't|do not|not|never|without|why|how|power cut|cut off)\b"
    r"|\b(?:blur|pixel\w*|anonymi\w*|redact|mask|censor|rotate|slow|speed|zoom|crop|brighten|stabili\w*|subtitle|e?mail|post|upload)"
    r"|\b(?:send|forward) (?:it|this|that|the \w+) to (?!me\b|us\b)"
)
"""Beyond what is cut: clips are neither changed nor sent to anybody."""
_SEVERAL = re.compile(r"\b(?:clips|events|moments|incidents|all|every|each|both|them)\b")


def asks_for_clip(words: str) -> bool:
    """Whether the words of a message ask for a stretch of a video as a file.

    >>> [asks_for_clip(said) for said in ("send me the clip of that event", "cut that out", "export a report of the clip")]
    [True, True, False]
    """
    return any(pattern.search(words) for pattern in _PATTERNS) and not _NOT.search(words)


def asks_for_several(words: str) -> bool:
    """Whether more than one is asked for.

    >>> asks_for_several("export all events as clips"), asks_for_several("save the clip")
    (True, False)
    """
    return _SEVERAL.search(words) is not None
