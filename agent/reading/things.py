"""What a question names, where no pattern says which of its words that are: the runs of words that do not frame a question."""

from __future__ import annotations

import re

from agent.reading.names import NUMBERS
from agent.reading.phrases import wordlist
from agent.reading.tidy import words_of

MOST_WORDS = 5
_PARTS = re.compile(r"[?!.,;:()\"“”]+\s*")
_WORD = re.compile(r"[^\W_][\w'’./\\-]*")


def things_named(question: str) -> tuple[str, ...]:
    """Runs of words that say something, in their order, none twice.

    >>> things_named("Are we looking at an air lock?"), things_named("Lipping, bowing, cupping: any of that?")
    (('air lock',), ('lipping', 'bowing', 'cupping'))
    >>> things_named("So is it?")
    ()
    """
    idle = wordlist("says nothing alone") | wordlist("frames a question")
    found: list[str] = []
    for part in _PARTS.split(words_of(question)):
        run: list[str] = []
        for word in [*_WORD.findall(part), ""]:
            if word and word.replace("’", "'") not in idle and not word.isdigit():
                run.append(word)
                continue
            if run:
                found.append(" ".join(run[:MOST_WORDS]))
            run = []
    return tuple(dict.fromkeys(found))


def thing_named(question: str) -> str:
    """What a question is about in few words: a list of single words together, else its longest run; empty where it names nothing.

    >>> thing_named("can you tell impeller damage from misalignment?"), thing_named("Lipping, bowing, cupping: any of that?")
    ('impeller damage', 'lipping, bowing or cupping')
    """
    found = things_named(question)
    if 2 <= len(found) <= 3 and all(" " not in one for one in found) and re.search(r"\w(?:,| or | and )", words_of(question)):
        return f"{', '.join(found[:-1])} or {found[-1]}"
    return max(found, key=len, default="")


def counted(question: str, most: int) -> tuple[int, ...]:
    """The numbers from 1 to `most` in a question, in digits or in words, in their order, each once.

    >>> counted("Six and nine: same pattern?", 10), counted("Does 5 look like 14?", 10)
    ((6, 9), (5,))
    """
    said = re.findall(r"(?<![\w.:])(?:\d{1,4}|" + "|".join(NUMBERS) + r")(?!\w|%|[:.]\d)", words_of(question))
    numbers = [NUMBERS.get(one, 0) or int(one) for one in said]
    return tuple(dict.fromkeys(n for n in numbers if 1 <= n <= most))
