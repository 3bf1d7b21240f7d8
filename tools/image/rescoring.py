"""Photos that look alike share their scores: a photo's score is averaged with those of its most similar photos.

Source: Li et al., MuSc (ICLR 2024), re-scoring of images with constrained neighbourhood (RsCIN): W = E·Eᵀ of unit embeddings, in every row
only the k largest similarities stay (the photo itself among them), rows are scaled to sum 1, c⁽ᵏ⁾ = W·c; the mean over several k.
Ours: only the k gathered numbers, never a matrix of all photos; scores are not brought to 0–1 first, because rows that sum to
1 commute with it, so that the scores keep their unit.

Axes and units: scores (N,) in the detector's unit; embeddings (N, C) of length 1; counts k from 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

ROWS = 1024
ITSELF = 2.0
"""Above any cosine: a photo is always among its own most similar ones, even beside exact copies."""


def rescored(scores: NDArray[np.float32], embeddings: torch.Tensor, counts: Sequence[int]) -> NDArray[np.float32]:
    """Scores (N,) averaged with those of the k − 1 most similar photos, weighed by similarity; mean over the k in `counts`.

    No `counts`, or k = 1, leave a score as it is; a k above N takes all photos.

    >>> import torch
    >>> rescored(np.array([1.0, 3.0, 0.0], np.float32), torch.eye(2)[[0, 0, 1]], (1, 2)).tolist()
    [1.5, 2.5, 0.0]
    """
    import torch

    if not counts or len(scores) < 2 or max(counts) < 2:
        return scores
    largest = min(max(counts), len(scores))
    values = torch.from_numpy(np.asarray(scores, dtype=np.float32)).to(embeddings.device)
    out = torch.empty_like(values)
    for first in range(0, len(values), ROWS):
        similar = embeddings[first : first + ROWS] @ embeddings.T
        rows = torch.arange(len(similar), device=similar.device)
        similar[rows, rows + first] = ITSELF
        weights, index = similar.topk(largest, dim=1)
        weights = weights.clamp_min(0)
        weights[:, 0] = 1.0
        means = [(weights[:, :k] * values[index[:, :k]]).sum(dim=1) / weights[:, :k].sum(dim=1) for k in counts]
        out[first : first + ROWS] = torch.stack(means).mean(dim=0)
    return np.asarray(out.cpu().numpy(), dtype=np.float32)
