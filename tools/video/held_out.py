"""What normal clips score under a network that did not learn from them: the reference of detectors that learn from labelled clips.

Each fold of the normal clips is scored by a network that learned from all the others. Networks that tell the same clips apart may do so at
other levels, so the log odds of each are shifted by the difference between its median and that of the network that is kept, over the
clips that both learned from; without that an alarm threshold set on the reference belongs to another network.
Scores are chances in (0, 1), one array (T,) a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Scores: TypeAlias = NDArray[np.float32]
Scorer: TypeAlias = Callable[[int], Scores]
"""The scores of a clip, by its number."""

FOLDS = 3
"""Networks learned beside the one that is kept; fewer where normal clips are fewer."""


def held_out(count: int, normal: Sequence[int], kept: Scorer, learned: Callable[[Sequence[int]], Scorer]) -> Scores:
    """Scores of all units of the normal clips, fold by fold.

    Args:
        count: number of clips, normal or not.
        normal: numbers of the normal ones.
        kept: what the network that is kept says.
        learned: teaches a network of these clips alone, and gives what it says.

    A single normal clip is scored by the network that is kept.

    >>> kept = lambda clip: np.full(2, 0.5, np.float32)
    >>> lower = lambda clips: lambda clip: np.full(2, 0.2 if clip in clips else 0.25, np.float32)
    >>> [round(float(one), 3) for one in held_out(3, [0, 1], kept, lower)]  # a third higher in odds than what its network learned from
    [0.571, 0.571, 0.571, 0.571]
    """
    folds = min(FOLDS, len(normal))
    if folds < 2:
        return np.concatenate([kept(number) for number in normal])
    levels, found = [_log_odds(kept(number)) for number in range(count)], []
    for fold in range(folds):
        left_out = normal[fold::folds]
        shared = [number for number in range(count) if number not in left_out]
        theirs = learned(shared)
        shift = np.median(np.concatenate([levels[number] for number in shared])) - np.median(
            np.concatenate([_log_odds(theirs(number)) for number in shared])
        )
        found += [_chance(_log_odds(theirs(number)) + shift) for number in left_out]
    return np.concatenate(found)


def _log_odds(scores: Scores) -> NDArray[np.float64]:
    kept = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def _chance(odds: NDArray[np.float64]) -> Scores:
    return np.asarray(1 / (1 + np.exp(-odds)), np.float32)
