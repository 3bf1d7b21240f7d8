"""Nearest neighbours among patch features, and small memories that cover many patches.

Distances are Euclidean between unit vectors, √(2 − 2·cos), 0 to 2, so that only the largest cosine of a matrix product is needed; it
is found tile by tile, each tile small enough for the processor's cache, and the full table is never held. Features are (N, C)
float32 of length 1, products stay in float32: in a half format near duplicates, where normal patches live, would be off by 100 %.

Source: greedy k-centre memory after Roth et al. (CVPR 2022), here in batches of farthest patches, so that selection costs
one pass of large matrix products instead of one matrix-vector product per pick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.progress import step

if TYPE_CHECKING:
    import torch

BANK_TILE = 2048
QUERY_TILES = {"cpu": 1600, "cuda": 8192}
"""Queries per tile. On a CPU a larger table leaves the cache, and a smaller one spends its time handing work to threads."""
ROUNDS, CANDIDATES = 8, 2
TAKEN = 2.0
"""Cosine that marks a chosen point, above any real one: it is not chosen again, not even among duplicates."""


@dataclass(frozen=True, eq=False)
class Closest:
    """Largest cosine of each query to the memory, and to that part of it which belongs to other owners."""

    to_all: torch.Tensor
    to_others: torch.Tensor


def unit(features: torch.Tensor) -> torch.Tensor:
    """Scale the last axis to length 1 (a zero vector stays zero): patches are compared by direction.

    The length of a feature follows exposure and contrast; on synthetic defects in differently lit normal photos the direction
    alone told more (image AUROC .71 against .61), and as much on evenly lit ones.
    """
    from torch.nn.functional import normalize

    return normalize(features, dim=-1)


def distance(cosine: torch.Tensor) -> torch.Tensor:
    """Euclidean distance of unit vectors with this cosine."""
    return (2 - 2 * cosine).clamp_min(0).sqrt()


def largest_cosine(queries: torch.Tensor, bank: torch.Tensor) -> torch.Tensor:
    """Largest cosine (Q,) of unit queries (Q, C) with the unit vectors of a bank (B, C)."""
    best = queries.new_full((len(queries),), -1.0)
    height = QUERY_TILES[queries.device.type]
    for first in range(0, len(queries), height):
        tile = queries[first : first + height]
        for start in range(0, len(bank), BANK_TILE):
            found = (tile @ bank[start : start + BANK_TILE].T).amax(dim=1)
            best[first : first + height] = best[first : first + height].maximum(found)
    return best


def nearest(queries: torch.Tensor, bank: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest cosine (Q,) of unit queries (Q, C) with a bank (B, C), and which entry (Q,) has it.

    Takes about a third longer than `largest_cosine`, which does not ask which.
    """
    best = queries.new_full((len(queries),), -2.0)
    which = queries.new_zeros(len(queries)).long()
    height = QUERY_TILES[queries.device.type]
    for first in range(0, len(queries), height):
        rows = slice(first, first + height)
        for start in range(0, len(bank), BANK_TILE):
            found, index = (queries[rows] @ bank[start : start + BANK_TILE].T).max(dim=1)
            which[rows] = which[rows].where(found <= best[rows], index + start)
            best[rows] = best[rows].maximum(found)
    return best, which


def _update(best: Closest, points: torch.Tensor, owners: torch.Tensor, chosen: torch.Tensor) -> None:
    """Let every point see the newly `chosen` ones; `owners` ascends, so each owner's picks form one slice of the sorted picks."""
    import torch

    chosen = chosen.sort().values
    picks, whose = points[chosen], owners[chosen].contiguous()
    height = QUERY_TILES[points.device.type]
    for owner in torch.unique(owners):
        low, high = (int(torch.searchsorted(owners, owner, right=right)) for right in (False, True))
        a, b = (int(torch.searchsorted(whose, owner, right=right)) for right in (False, True))
        for first in range(low, high, height):
            rows = slice(first, min(first + height, high))
            for start in range(0, len(picks), BANK_TILE):
                cosine = points[rows] @ picks[start : start + BANK_TILE].T
                own = slice(max(a - start, 0), max(b - start, 0))
                for part, also_others in ((cosine[:, : own.start], True), (cosine[:, own], False), (cosine[:, own.stop :], True)):
                    if part.shape[1] == 0:
                        continue
                    found = part.amax(dim=1)
                    best.to_all[rows] = best.to_all[rows].maximum(found)
                    if also_others:
                        best.to_others[rows] = best.to_others[rows].maximum(found)


def cover(points: torch.Tensor, owners: torch.Tensor, size: int, *, seed: int = 0) -> tuple[torch.Tensor, Closest]:
    """Choose `size` of the unit vectors `points` (N, C) so that few lie far from a chosen one.

    The first eighth is random; each further eighth is picked greedily (farthest first) among candidates far from what is
    chosen so far: rounds, as in k-means‖, instead of a pass over all points per pick. `owners` (N,) ascending says which
    picture a point is from.

    Returns:
        The chosen indices, and each point's closest chosen one, over all owners and over other owners than its own (the
        held-out distances of all normals come for free from the selection; −1 where nobody else was chosen).
    """
    import torch

    count = len(points)
    best = Closest(points.new_full((count,), -1.0), points.new_full((count,), -1.0))
    if size >= count:
        chosen = torch.arange(count, device=points.device)
        _update(best, points, owners, chosen)
        return chosen, best
    generator = torch.Generator().manual_seed(seed)
    sizes = [size * (r + 1) // ROUNDS - size * r // ROUNDS for r in range(ROUNDS)]
    chosen = torch.empty(0, dtype=torch.long, device=points.device)
    for done, wanted in enumerate(sizes):
        if wanted == 0:
            continue
        if len(chosen) == 0:
            fresh = torch.randperm(count, generator=generator)[:wanted].to(points.device)
        else:
            fresh = _farthest(points, best.to_all.index_fill(0, chosen, TAKEN), wanted, generator)
        chosen = torch.cat([chosen, fresh])
        _update(best, points, owners, fresh)
        step("rounds of choosing patches", done + 1, ROUNDS)
    return chosen.sort().values, best


def _farthest(points: torch.Tensor, closest: torch.Tensor, wanted: int, generator: torch.Generator) -> torch.Tensor:
    """Greedy k-centre among candidates: the farthest points, and as many drawn in proportion to squared distance.

    The farthest alone may all lie in one unseen region and starve the others; the drawn ones alone miss single outliers.
    """
    import torch

    some = min(len(points), CANDIDATES * wanted)
    weights = (1 - closest).clamp_min(1e-12).cpu()  # half the squared distance
    keys = weights.log() - torch.empty(len(points)).exponential_(generator=generator).log()
    drawn = keys.topk(some).indices.to(points.device)
    farthest = closest.topk(some, largest=False).indices
    candidates: torch.Tensor = torch.unique(torch.cat([farthest, drawn]))
    vectors, near = points[candidates], closest[candidates].clone()
    picked = near.new_empty(wanted).long()
    for index in range(wanted):
        pick = near.argmin()
        picked[index] = pick
        near = near.maximum(vectors @ vectors[pick])
        near[pick] = TAKEN
    return candidates[picked]
