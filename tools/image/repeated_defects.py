"""Which photos of a batch share a defect, so that they must not vouch for each other.

Mutual scoring takes what several photos show for normal, so a defect that repeats hides itself. After CoDeGraph (arXiv 2510.10456):
its mark is that the strangest patches of one photo have close matches in few others, and those match back. Ours is a plain
count instead of community detection: candidates are the patches far from the median partner (up to half of the batch may share a
defect before the median sees it as normal); two photos are linked by each pair of candidates that are each other's nearest patch
between them and much closer than that median; photos with an abnormal number of links are left out of each other's mean.

Axes and units: unit vectors (P, C); minima (partners, P) as `mutual_scores.minima` gives them, distances 0 to 2; links (N, N) counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

CANDIDATES = 0.03
"""Share of all patches of the batch that are looked at: those farthest from their median partner."""
CLOSE = 0.8
"""A match is close when its distance is below this part of the patch's distance to the median partner."""
ABNORMAL = 3.0
"""Standard deviations above the batch's usual number of links."""
FEWEST = 2
"""A single link is chance."""
ROUNDING = 1e-5


def links(photos: Sequence[torch.Tensor], tables: Sequence[torch.Tensor]) -> NDArray[np.float32]:
    """Links (N, N) between the photos of a batch: close, mutually nearest pairs of candidate patches.

    `tables` are the photos' minima; their first N − 1 rows must be the other photos in order.
    """
    import torch

    from models.nearest import distance

    count = len(photos)
    found = np.zeros((count, count), dtype=np.float32)
    typical = [table[: count - 1].median(dim=0).values for table in tables]
    everything = torch.cat(typical)
    bar = everything.topk(max(1, round(CANDIDATES * len(everything)))).values[-1]
    chosen = [(middle >= bar).nonzero().flatten() for middle in typical]
    for i in range(count):
        for j in range(i + 1, count):
            if not len(chosen[i]) or not len(chosen[j]):
                continue
            apart = distance(photos[i][chosen[i]] @ photos[j][chosen[j]].T)
            to_j, to_i = tables[i][j - 1][chosen[i]][:, None], tables[j][i][chosen[j]][None]
            mutual = (apart <= to_j + ROUNDING) & (apart <= to_i + ROUNDING)
            close = apart < CLOSE * torch.minimum(typical[i][chosen[i]][:, None], typical[j][chosen[j]][None])
            found[i, j] = found[j, i] = float((mutual & close).sum())
    return found


def trusted(counts: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which partners (N, N − 1) each photo may be compared with, from the links (N, N) between photos; the photo itself is left out.

    The usual number of links and its spread are those of the lower half of all pairs, as up to half of the photos may share a defect.

    >>> counts = np.zeros((5, 5), np.float32)
    >>> counts[0, 1] = counts[1, 0] = 9
    >>> trusted(counts)[0].tolist(), trusted(counts)[2].tolist()
    ([False, True, True, True], [True, True, True, True])
    """
    count = len(counts)
    others = ~np.eye(count, dtype=np.bool_)
    pairs = counts[np.triu_indices(count, 1)]
    usual = float(np.median(pairs))
    spread = 1.4826 * float(np.median(np.abs(pairs - usual)))
    abnormal = (counts > usual + ABNORMAL * spread) & (counts >= FEWEST)
    return np.asarray(~abnormal[others].reshape(count, count - 1), dtype=np.bool_)
