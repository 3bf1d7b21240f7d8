"""How much of what a language model writes is false before and after the check, and how much that is true the check takes away.

A scripted writer mixes true sentences with lies about real evidence (`faithfulness_sets.py`). Faithfulness is the part of the shown
sentences that are true: before the check all are shown, after it only those judged a fact or a view. No model and no download. The note
of a set tells what the check let through and took away before anything was changed for it: that is the number to expect of new text.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.faithfulness_sets import ROUNDS, SETS, Sentence, all_mutations, passed, removed, sentences
from benchmarks.rows import Row, measured


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """One row for each set of hand-written sentences, and one for the lies made by one change."""
    for name in SETS:
        kind = ROUNDS[name].style if name in ROUNDS else "set aside at first" if name == "held_out" else name
        yield from _compared(f"hand-written, {kind}", sentences(f"true_{name}"), sentences(f"lies_{name}"), _first_look(name))
    true = [sentence for name in SETS for sentence in sentences(f"true_{name}")]
    lies = all_mutations(true)
    yield from _compared("one change to a true sentence", true, lies[::10] if quick else lies)


def _first_look(name: str) -> str:
    """What the check made of a set before it was changed for it."""
    return f"; {ROUNDS[name].told}" if name in ROUNDS else ""


def _compared(name: str, true: Sequence[Sentence], lies: Sequence[Sentence], first_look: str = "") -> Iterator[Row]:
    before = len(true) / (len(true) + len(lies))
    note = f"{len(true)} true, {len(lies)} false{first_look}"
    yield Row(data=name, method="no check", metrics={"faithfulness": before, "false passed": len(lies), "true removed %": 0.0},
              seconds=0.0, peak_mb=0.0, trivial=True, note=note)  # fmt: skip
    with measured() as cost:
        start = time.process_time()
        lost, through = removed(true), passed(lies)
        spent = time.process_time() - start
    shown_true = lost.total - len(lost.failed)
    metrics = {
        "faithfulness": shown_true / max(1, shown_true + len(through.failed)), "false passed": float(len(through.failed)),
        "true removed %": 100 * lost.share, "ms per sentence": 1000 * spent / (lost.total + through.total),
    }  # fmt: skip
    yield Row(data=name, method="agent.checking", metrics=metrics, seconds=cost.seconds, peak_mb=cost.peak_mb, note=note)
