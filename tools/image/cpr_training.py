"""Learns the local metrics of CPR from pairs: a photo with simulated defects, and a similar photo without.

Source: Li et al., CPR (IEEE Transactions on Image Processing 2024). In a pair the same place matches where the defect is not, and does not
match where it is; on objects, places apart from each other do not match either. Ours: defects are cut and pasted between the normal
photos (`tools.image.simulated_defects`); a fixed pool of pictures goes through the backbone once; the metric is learned
from 3×3 cells around drawn places, so that a step costs a tenth of whole maps'.

Axes: maps (h, w, C) per picture and stride; masks (h, w) bool, True where a cell's centre lies in a defect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.progress import step
from models.feature_levels import FixedMaps
from tools.image.retrieval import Floats, block_histograms, most_similar
from tools.image.simulated_defects import Pixels, simulate

if TYPE_CHECKING:
    import torch

    from models.local_metric import LocalMetric

    Drawn: TypeAlias = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    """Number of the pair, place in the picture, place in the normal photo (row · w + column), each (P,)."""

PLACES = 32
"""Matching places per pair; half as many in the defect, and half as many apart."""
RATE, DECAY = 1e-3, 1e-2
SETTLED = 16
"""Pictures, and as many normal photos, that the batch norms are measured on in the end."""
APART_PX = 5.66
"""Places this far from each other, in pixels of the resized photo, are not the same."""
CLEAN = 0.1
"""Share of pool pictures without a defect."""
NOISE_CHANCE, NOISE_SHARE, LIGHTER_CHANCE, LIGHTER = 0.3, 0.03, 0.3, 0.1
"""Salt and pepper on 3 % of the pixels of three pictures in ten, lightness up to 10 % off in three in ten."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Pictures with simulated defects: maps and masks per stride (M, h, w, …), and each picture's similar normals (M, R)."""

    maps: list[torch.Tensor]
    masks: list[torch.Tensor]
    partners: torch.Tensor


def disturbed(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A picture (H, W, 3), perhaps with salt and pepper, perhaps a little lighter or darker."""
    if rng.random() < NOISE_CHANCE:
        pixels = pixels.copy()
        hit = rng.random(pixels.shape[:2])
        pixels[hit < NOISE_SHARE / 2] = 0
        pixels[hit > 1 - NOISE_SHARE / 2] = 255
    if rng.random() < LIGHTER_CHANCE:
        pixels = (pixels * (1 + rng.uniform(-LIGHTER, LIGHTER))).clip(0, 255).astype(np.uint8)
    return pixels


def make_pool(
    photos: Sequence[Pixels], encoder: FixedMaps, codes: Floats, histograms: Floats, *, count: int, partners: int, seed: int
) -> Pool:
    """Simulate `count` pictures on photos (resized alike) and look up each one's similar photos among the others.

    Args:
        photos: (H, W, 3), all of the encoder's size.
        encoder: gives the maps.
        codes: of the global retrieval.
        histograms: (N, B, K) of the photos.
        count: pictures to simulate.
        partners: similar photos per picture; a single photo is its own partner.
        seed: of defects and disturbances.
    """
    import torch

    maps: list[list[torch.Tensor]] = [[] for _ in encoder.strides]
    masks: list[list[torch.Tensor]] = [[] for _ in encoder.strides]
    similar = []
    for number, made in enumerate(simulate(photos, count=count, seed=seed, clean=CLEAN)):
        rng = np.random.default_rng([seed, number, 1])
        features = encoder.encode(disturbed(made.pixels, rng))
        for level, (one, stride) in enumerate(zip(features, encoder.strides, strict=True)):
            maps[level].append(one.permute(1, 2, 0).half())
            masks[level].append(torch.from_numpy(centres_of(made.mask, stride)))
        own = made.source if len(photos) > 1 else -1
        found = most_similar(block_histograms(features[0].cpu().numpy(), codes), histograms, partners, but=own)
        similar.append(np.resize(found, partners))
        step("pictures with simulated defects", number + 1, count)
    device = maps[0][0].device
    return Pool(
        maps=[torch.stack(level) for level in maps],
        masks=[torch.stack(level).to(device) for level in masks],
        partners=torch.from_numpy(np.stack(similar)),
    )


def centres_of(mask: NDArray[np.bool_], stride: int) -> NDArray[np.bool_]:
    """A mask (H, W) read at the centres of the cells of a stride: (H / stride, W / stride).

    >>> mask = np.zeros((8, 8), np.bool_)
    >>> mask[:, 6:] = True
    >>> centres_of(mask, 4).tolist()
    [[False, True], [False, True]]
    """
    from models.efficientnet_lite import CENTRES

    rows, columns = (
        (np.arange(edge // stride) * stride + CENTRES[stride]).round().astype(int).clip(0, edge - 1) for edge in mask.shape
    )
    return np.asarray(mask[np.ix_(rows, columns)], dtype=np.bool_)


def train_metric(
    metric: LocalMetric, pool: Pool, normals: torch.Tensor, level: int, *, stride: int, steps: int, pairs: int, seed: int,
    foreground: torch.Tensor | None = None,
) -> list[float]:  # fmt: skip
    """Train the metric of one stride; returns the loss of every step.

    Args:
        metric: changed in place, left in eval mode.
        pool: pictures with defects.
        normals: maps (N, h, w, C) that the pool's partners number.
        level: which of the pool's maps.
        stride: pixels per cell.
        steps: of AdamW.
        pairs: per step.
        seed: of what is drawn.
        foreground: (N, h, w) weights of the normals' places, above 0; None: every place alike, and places apart are not told apart.
    """
    import torch

    from models.local_metric import contrastive_loss

    maps, masks = pool.maps[level], pool.masks[level].flatten(1).cpu()
    height, width = maps.shape[1:3]
    inner = torch.zeros(height, width)
    inner[1:-1, 1:-1] = 1.0
    shown = torch.ones(len(normals), height, width) if foreground is None else foreground.cpu()
    weights = (shown * inner).flatten(1)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(metric.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps, eta_min=RATE / 50)
    metric.train()
    losses = []
    for done in range(steps):
        picture = torch.randint(len(maps), (pairs,), generator=generator)
        partner = pool.partners[picture, torch.randint(pool.partners.shape[1], (pairs,), generator=generator)]
        drawn = _places(masks[picture], weights[partner], inner.flatten(), generator)
        if foreground is not None:
            drawn.append(_places_apart(drawn[0], inner.flatten(), width, APART_PX / stride, generator))
        pair, here, there = (torch.cat(part) for part in zip(*drawn, strict=True))
        ours, theirs = pieces(maps, picture[pair], here), pieces(normals, partner[pair], there)
        vectors = metric(torch.cat([ours, theirs]), rim=False).flatten(1)
        cosine = (vectors[: len(pair)] * vectors[len(pair) :]).sum(dim=1)
        matching = len(drawn[0][0])
        weight = torch.ones(len(pair) - matching, device=cosine.device)
        apart = len(pair) - len(drawn[2][0]) if len(drawn) == 3 else len(pair)
        if apart < len(pair):  # what the backbone finds most different must be told apart most
            gap = (ours[apart:, :, 1, 1] - theirs[apart:, :, 1, 1]).square().sum(dim=1)
            weight[apart - matching :] = gap / gap.mean().clamp_min(1e-9)
        loss = contrastive_loss(cosine[:matching], cosine[matching:], weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        step(f"training steps, {stride} pixels per cell", done + 1, steps)
    _settle(metric, maps, normals)
    return losses


def _settle(metric: LocalMetric, maps: torch.Tensor, normals: torch.Tensor) -> None:
    """Measure the batch norms' means and variances anew on whole maps: in a short training their running ones lag behind the weights."""
    import torch

    norms = [module for module in metric.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over the batches
    with torch.no_grad():
        for start in range(0, min(SETTLED, len(maps)), 4):
            some = torch.arange(start, start + 4)
            metric(torch.cat([maps[some % len(maps)], normals[some % len(normals)]]).permute(0, 3, 1, 2).float())
    metric.eval()


def _places(torn: torch.Tensor, weights: torch.Tensor, inner: torch.Tensor, generator: torch.Generator) -> list[Drawn]:
    """Matching places, by weight, and places in the defects, of pairs with masks `torn` (pairs, h · w)."""
    import torch

    chance = weights * ~torn + 1e-9 * inner  # also where all of an object is torn
    same = torch.multinomial(chance, PLACES, replacement=True, generator=generator)
    matching = torch.arange(len(torn)).repeat_interleave(PLACES)
    pair, odd = (torn & (inner > 0)).nonzero(as_tuple=True)
    few = torch.randperm(len(odd), generator=generator)[: len(torn) * PLACES // 2]
    return [(matching, same.flatten(), same.flatten()), (pair[few], odd[few], odd[few])]


def _places_apart(matching: Drawn, inner: torch.Tensor, width: int, cells: float, generator: torch.Generator) -> Drawn:
    """For half of the matching places, another place of the picture, more than `cells` away."""
    import torch

    pair, _, there = (part[::2] for part in matching)
    here = torch.multinomial(inner, len(pair), replacement=True, generator=generator)
    far = torch.hypot((here // width - there // width).float(), (here % width - there % width).float()) > cells
    return pair[far], here[far], there[far]


def pieces(maps: torch.Tensor, picture: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """The 3×3 cells (P, C, 3, 3) float32 around inner places (P,) (row · w + column) of pictures (P,) of maps (M, h, w, C)."""
    import torch

    width = maps.shape[2]
    around = torch.arange(-1, 2)
    rows = ((place // width)[:, None] + around).to(maps.device)
    columns = ((place % width)[:, None] + around).to(maps.device)
    cut = maps[picture.to(maps.device)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return cut.permute(0, 3, 1, 2).float()
