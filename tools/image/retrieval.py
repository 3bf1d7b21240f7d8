"""The most similar photos of good parts, found by what lies where: code histograms of 25 blocks, compared by a trimmed divergence.

Source: Li et al., Target before Shooting: Accurate Anomaly Detection and Localization under One Millisecond via Cascade Patch
Retrieval (CPR, IEEE Transactions on Image Processing 2024), its global retrieval: local features are replaced by the nearest of 12 codes
(k-means), the code map is cut into 5×5 blocks, and a photo is 25 histograms. Two photos differ by the sum of the 20 smallest block-wise
Kullback–Leibler divergences: the five largest are left out because they may hold the defect.

Axes: feature maps (C, h, w); histograms (B, K + 1), the share of each of K codes in each of B blocks, bin 0 counting cells beyond the
map's edge where blocks do not divide it evenly; divergences in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]

CODES = 12
BLOCKS = 5
"""Blocks along each edge."""
KEPT = 0.8
"""Share of the blocks, the most similar ones, that are summed."""
SAMPLES = 20_000
"""Local features that the codes are learned from."""
TINY = 1e-8


def sampled(maps: Sequence[Floats], count: int, rng: np.random.Generator) -> Floats:
    """About `count` features (N, C) drawn evenly from maps (C, h, w)."""
    each = -(-count // len(maps))
    parts = []
    for one in maps:
        cells = one.reshape(len(one), -1).T
        parts.append(cells[rng.permutation(len(cells))[:each]])
    return np.concatenate(parts).astype(np.float32)


def kmeans(points: Floats, count: int, *, seed: int) -> Floats:
    """Centres (count, C) of points (N, C); fewer where the points are fewer or alike."""
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different points than centres
        fitted = KMeans(n_clusters=min(count, len(points)), n_init=3, random_state=seed).fit(points)
    return np.asarray(fitted.cluster_centers_, dtype=np.float32)


def learn_codes(maps: Sequence[Floats], *, seed: int = 0) -> Floats:
    """The 12 codes (K, C) of feature maps (C, h, w)."""
    return kmeans(sampled(maps, SAMPLES, np.random.default_rng(seed)), CODES, seed=seed)


def nearest_code(features: Floats, codes: Floats) -> NDArray[np.int64]:
    """Number of the nearest code for features (C, …).

    >>> nearest_code(np.array([[0.0, 9.0]], np.float32), np.array([[1.0], [8.0]], np.float32)).tolist()
    [0, 1]
    """
    import torch

    flat = torch.from_numpy(features.reshape(1, len(features), -1))
    found = code_maps(flat, torch.from_numpy(codes))[0].numpy().reshape(features.shape[1:])
    return np.asarray(found, dtype=np.int64)


def code_maps(features: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Number of the nearest code (K, C) for features (N, C, …) of several photos: (N, …)."""
    flat = features.flatten(2)
    distance = (codes * codes).sum(dim=1)[:, None] - 2 * codes @ flat
    return distance.argmin(dim=1).view(len(features), *features.shape[2:])


def block_histograms(features: Floats, codes: Floats, *, blocks: int = BLOCKS) -> Floats:
    """Histograms (blocks², K + 1) of a feature map (C, h, w), each adding up to 1.

    >>> halves = np.repeat(np.array([[[0.0, 1.0]]], np.float32), 2, axis=1)
    >>> block_histograms(halves, np.array([[0.0], [1.0]], np.float32), blocks=1).tolist()
    [[0.0, 0.5, 0.5]]
    """
    import torch

    found = histograms(torch.from_numpy(features[None]), torch.from_numpy(codes), blocks=blocks)
    return np.asarray(found[0].numpy(), dtype=np.float32)


def histograms(features: torch.Tensor, codes: torch.Tensor, *, blocks: int = BLOCKS) -> torch.Tensor:
    """Histograms (N, blocks², K + 1) of the feature maps (N, C, h, w) of several photos."""
    from torch.nn.functional import one_hot, pad

    found = code_maps(features, codes) + 1
    count, rows, columns = found.shape
    high, wide = -(-rows // blocks), -(-columns // blocks)
    padded = pad(found, (0, wide * blocks - columns, 0, high * blocks - rows))
    cut = padded.view(count, blocks, high, blocks, wide).transpose(2, 3).reshape(count, blocks * blocks, -1)
    return one_hot(cut, len(codes) + 1).float().mean(dim=2)


def trimmed_divergence(query: Floats, references: Floats, *, kept: float = KEPT) -> Floats:
    """Sum of the smallest `kept` share of block-wise Kullback–Leibler divergences from a query (B, K) to references (R, B, K).

    >>> same = np.array([[0.5, 0.5]], np.float32)
    >>> trimmed_divergence(same, np.stack([same, [[0.25, 0.75]]]).astype(np.float32)).tolist()
    [0.0, 0.1438...]
    """
    import torch

    found = divergences(torch.from_numpy(query[None]), torch.from_numpy(references), kept=kept)
    return np.asarray(found[0].numpy(), dtype=np.float32)


def divergences(queries: torch.Tensor, references: torch.Tensor, *, kept: float = KEPT) -> torch.Tensor:
    """The same for several photos' histograms (N, B, K): (N, R) float64."""
    import torch

    q = queries.double() + TINY
    log = (references.double() + TINY).log()
    divergence = (q * q.log()).sum(dim=2)[:, None] - torch.einsum("nbk,rbk->nrb", q, log)
    count = max(1, round(kept * divergence.shape[2]))
    return divergence.sort(dim=2).values[:, :, :count].sum(dim=2)


def most_similar(query: Floats, references: Floats, count: int, *, but: int = -1) -> NDArray[np.int64]:
    """Numbers of the `count` most similar references, most similar first, never reference number `but`."""
    import torch

    found = retrieved(torch.from_numpy(query[None]), torch.from_numpy(references), count, but=but)
    return np.asarray(found[0].numpy(), dtype=np.int64)


def retrieved(queries: torch.Tensor, references: torch.Tensor, count: int, *, but: int = -1) -> torch.Tensor:
    """The same for several photos' histograms (N, B, K): (N, count)."""
    divergence = divergences(queries, references)
    if but >= 0:
        divergence[:, but] = float("inf")
        count = min(count, len(references) - 1)
    return divergence.argsort(dim=1, stable=True)[:, :count]
