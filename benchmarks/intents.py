"""`python -m benchmarks.intents [--write]`: fit what messages lean to (`agent/leaning.py`) and say how well it reads questions left out.

The questions are those of `tests/agent`: `questions.jsonl`, the halves of `questions_heldout.jsonl` that may be looked at, and the
sentences of the section [examples] of `agent/reading/lexicon.txt`. A half is left out as a whole; the blind one is never touched.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.leaning import WEIGHTS, Leaning, vectors
from agent.question import INTENTS, Intent
from agent.reading.phrases import pairs
from agent.reading.tidy import tidy

ROOT = Path(__file__).parents[1]
BLIND = "fourth"
STRENGTH = 30.0
"""Inverse of the L2 penalty, of 10, 30 and 60 the one that outvoted best over the sets left out."""


@dataclass(frozen=True)
class Asked:
    """A question of a set, with every reading that is fair."""

    group: str
    text: str
    readings: tuple[frozenset[str], ...]

    @property
    def label(self) -> str | None:
        """The first reading, where it is one intent."""
        return next(iter(self.readings[0])) if len(self.readings[0]) == 1 else None


def questions() -> list[Asked]:
    """All questions that may be learned from; commands to rules, whose reading is not checked, are left out."""
    tests = ROOT / "tests" / "agent"
    found = [Asked("examples", tidy(text, widely=True).plain, (frozenset((name,)),)) for text, name in pairs("examples")]
    for line in (tests / "questions.jsonl").read_text("utf-8").splitlines():
        _, text, intents, _ = json.loads(line)
        found.append(Asked("questions", tidy(text, widely=True).plain, (frozenset(intents.split()),)))
    for line in (tests / "questions_heldout.jsonl").read_text("utf-8").splitlines():
        half, _, text, intents, _, _ = json.loads(line)
        if half != BLIND and intents != "*":
            found.append(Asked(half, tidy(text, widely=True).plain, tuple(frozenset(one.split()) for one in intents.split("|"))))
    return found


def fit(asked: Sequence[Asked]) -> Leaning:
    """Weights fitted on the questions with one intent."""
    from sklearn.linear_model import LogisticRegression

    known = [a for a in asked if a.label is not None]
    model = LogisticRegression(C=STRENGTH, max_iter=2000).fit(vectors([a.text for a in known]), [a.label for a in known])
    intents: tuple[Intent, ...] = tuple(next(i for i in INTENTS if i == name) for name in model.classes_)
    return Leaning(model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32), intents)


def left_out(asked: Sequence[Asked]) -> dict[str, tuple[int, float]]:
    """(questions, share read right) of every half, by weights that were fitted without it."""
    shares = {}
    for group in sorted({a.group for a in asked} - {"examples"}):
        mine = [a for a in asked if a.group == group]
        found = fit([a for a in asked if a.group != group])
        best = found.probabilities(vectors([a.text for a in mine])).argmax(axis=1)
        right = [frozenset((found.intents[i],)) in a.readings for i, a in zip(best, mine, strict=True)]
        shares[group] = (len(mine), float(np.mean(right)))
    return shares


def main() -> None:
    """Print the shares; with `--write`, keep weights fitted on everything."""
    asked = questions()
    for group, (count, share) in left_out(asked).items():
        sys.stdout.write(f"{group:10} {count:4} questions, {share:.3f} right by weights fitted without them\n")
    if "--write" in sys.argv[1:]:
        found = fit(asked)
        path = ROOT / "agent" / WEIGHTS
        np.savez(
            path, weights=found.weights.astype(np.float16), bias=found.bias.astype(np.float16), intents=np.array(found.intents)
        )
        sys.stdout.write(f"{path.name}: {len(found.intents)} intents, {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
