"""Whether a phrase could be shown by a picture at all, by its likeness to sentences that could and to sentences that could not.

The sentences are `visible.txt` beside this module. The few nearest of each kind are averaged, since one of them may be near by a
single word.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from agent.rules.programs import Embed

NEAREST = 3
"""Sentences of each kind that count."""
MARGIN = 0.05
"""By how much nearer a phrase must be to what is not shown: set on definitions written for this, a doubt speaks for the person."""


def could_be_shown(phrase: str, embed: Embed) -> bool:
    """False for what no picture shows: a mood, a price, the future, who knows what.

    >>> from models.text import embed
    >>> could_be_shown("the cap is crooked", embed), could_be_shown("customers dislike the colour", embed)
    (True, False)
    """
    shown, hidden = _sentences(embed)
    vector = embed([phrase])[0]
    return _near(shown, vector) - _near(hidden, vector) >= -MARGIN


def _near(sentences: NDArray[np.float32], vector: NDArray[np.float32]) -> float:
    return float(np.sort(sentences @ vector)[-NEAREST:].mean())


@lru_cache(maxsize=2)
def _sentences(embed: Embed) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    lines: dict[str, list[str]] = {}
    title = ""
    for line in files("agent.rules").joinpath("visible.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            title = line.strip("[]")
        elif line and not line.startswith("#"):
            lines.setdefault(title, []).append(line)
    return embed(lines["shown"]), embed(lines["not shown"])
