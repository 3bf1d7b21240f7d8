"""How many distinct attacks a ranking of nodes finds at each precision: the area under attacks detected over precision (ADP).

Nodes (processes, hosts, files) are ranked by score; at every cut the nodes above it have a precision, and an attack is detected as
soon as one of its nodes is among them. For each precision the largest share of attacks detected at that precision or a higher one
counts; the area over precision from 0 to 1 is the metric (Jiang et al., Orthrus, USENIX Security 2025). One true node an
attack is enough: it asks whether an analyst who starts from the top meets every attack before wading through false alarms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput


def attacks_detected_over_precision(attack: NDArray[Any], scores: NDArray[Any]) -> float:
    """Area under the share of attacks detected against precision; NaN without any attack.

    Args:
        attack: (N,) whole numbers, the attack a node belongs to (0, 1, …), negative for none.
        scores: (N,) finite, higher = stranger. Nodes of equal score are flagged together.

    Raises:
        BadInput: lengths differ, or a score is not finite.

    >>> attacks_detected_over_precision(np.array([0, -1, 1, -1]), np.array([4.0, 3.0, 2.0, 1.0]))
    0.8333333333333333
    """
    who, values = np.asarray(attack), np.asarray(scores, dtype=np.float64)
    if who.ndim != 1 or who.shape != values.shape:
        raise BadInput(f"attacks and scores: expected two arrays of one length, got {who.shape} and {values.shape}.")
    if not np.isfinite(values).all():
        raise BadInput("scores: expected finite numbers, got NaN or infinity.")
    attacks = np.unique(who[who >= 0])
    if len(attacks) == 0:
        return float("nan")
    order = np.argsort(-values, kind="stable")
    who, values = who[order], values[order]
    hits = np.cumsum(who >= 0)
    first = np.zeros(len(who), bool)
    first[[int(np.argmax(who == one)) for one in attacks]] = True
    found = np.cumsum(first) / len(attacks)
    cuts = np.flatnonzero(np.r_[values[1:] != values[:-1], True])
    precision, share = (hits / np.arange(1, len(who) + 1))[cuts], found[cuts]
    rising = np.argsort(precision, kind="stable")
    precision, share = precision[rising], share[rising]
    best = np.maximum.accumulate(share[::-1])[::-1]
    return float(np.sum(np.diff(np.r_[0.0, precision]) * best))
