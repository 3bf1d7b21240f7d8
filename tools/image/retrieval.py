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

import numpy as np
from numpy.typing import NDArray

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
    flat = features.reshape(len(features), -1)
    distance = (codes * codes).sum(axis=1)[:, None] - 2 * codes @ flat
    return np.asarray(distance.argmin(axis=0).reshape(features.shape[1:]), dtype=np.int64)


def block_histograms(features: Floats, codes: Floats, *, blocks: int = BLOCKS) -> Floats:
    """Histograms (blocks², K + 1) of a feature map (C, h, w), each adding up to 1.

    >>> halves = np.repeat(np.array([[[0.0, 1.0]]], np.float32), 2, axis=1)
    >>> block_histograms(halves, np.array([[0.0], [1.0]], np.float32), blocks=1).tolist()
    [[0.0, 0.5, 0.5]]
    """
    found = nearest_code(features, codes) + 1
    high, wide = (-(-edge // blocks) for edge in found.shape)
    padded = np.zeros((high * blocks, wide * blocks), dtype=np.int64)
    padded[: found.shape[0], : found.shape[1]] = found
    cut = padded.reshape(blocks, high, blocks, wide).transpose(0, 2, 1, 3).reshape(blocks * blocks, -1)
    counts = (cut[:, :, None] == np.arange(len(codes) + 1)).sum(axis=1)
    return np.asarray(counts / cut.shape[1], dtype=np.float32)


def trimmed_divergence(query: Floats, references: Floats, *, kept: float = KEPT) -> Floats:
    """Sum of the smallest `kept` share of block-wise Kullback–Leibler divergences from a query (B, K) to references (R, B, K).

    >>> same = np.array([[0.5, 0.5]], np.float32)
    >>> trimmed_divergence(same, np.stack([same, [[0.25, 0.75]]]).astype(np.float32)).tolist()
    [0.0, 0.1438...]
    """
    q = query.astype(np.float64) + TINY
    log = np.log(references.astype(np.float64) + TINY)
    entropy = (q * np.log(q)).sum(axis=1)
    divergence = entropy[None] - np.einsum("bk,rbk->rb", q, log)
    count = max(1, round(kept * divergence.shape[1]))
    return np.asarray(np.sort(divergence, axis=1)[:, :count].sum(axis=1), dtype=np.float32)


def most_similar(query: Floats, references: Floats, count: int, *, but: int = -1) -> NDArray[np.int64]:
    """Numbers of the `count` most similar references, most similar first, never reference number `but`."""
    divergence = trimmed_divergence(query, references)
    if but >= 0:
        divergence[but] = np.inf
        count = min(count, len(references) - 1)
    return np.asarray(np.argsort(divergence, kind="stable")[:count], dtype=np.int64)
