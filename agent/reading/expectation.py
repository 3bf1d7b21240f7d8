"""What a yes would mean: "is it broken?" asks for something abnormal, "is it fine?" for something normal."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.question import Expects, Intent
from agent.reading.phrases import word


def read_expectation(text: str, intents: Sequence[Intent]) -> Expects:
    """Which answer "yes" stands for; "either" when the question is no yes-or-no question, or asks for both.

    >>> read_expectation("is tile 7 damaged?", ["is_normal"]), read_expectation("are all bottles fine?", ["is_normal"])
    ('abnormal', 'normal')
    >>> read_expectation("is tile 3 good or bad?", ["is_normal"])
    'either'
    """
    yes_or_no = re.match(rf"(?:and |but |so )*{word('aux')}\b", text)
    if not ({"is_normal", "exists"} & set(intents) or ("overview" in intents and yes_or_no)):
        return "either"
    without = re.sub(rf"\b(?:{word('unwell')}|{word('finding')}|{word('found')})\b", " ", text)
    bad, good = without != text, re.search(rf"\b(?:{word('good')}|{word('normal')}|{word('condition')})\b", without)
    if bad and good:
        return "either"
    if bad:
        return "abnormal"
    return "normal" if good else "either"
