"""From what a prototype network could not rebuild to a map of defects: a small head trained on simulated ones.

Source: the residual learning of INP-Former++ (2025): R = |target − rebuilt|, the network held fixed, goes through a few convolutions to
a mask, with Dice loss (Milletari et al., 3DV 2016). Ours: the mask is predicted on the grid of the patches, not on a finer one.

Axes: residuals of a photo (h, w, C), C the channels of all taps side by side; masks (h, w) from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from core.errors import BadInput
from core.progress import step
from models.prototypes import Rebuilt

WIDTHS = (64, 16)
RATE = 2e-3
PHOTOS = 8
"""Photos of a step."""


def residual(found: Rebuilt) -> Tensor:
    """|target − rebuilt| of all taps side by side (B, L, C), without gradient."""
    return torch.cat([(a - b).abs() for a, b in zip(found.targets, found.rebuilt, strict=True)], dim=-1).detach()


class ResidualHead(nn.Module):
    """Convolutions over the residuals of a photo.

    Args:
        channels: channels of all taps.
        seed: of the first weights.

    >>> ResidualHead(5)(torch.zeros(4, 7, 5)).shape
    torch.Size([4, 7])
    """

    def __init__(self, channels: int, *, seed: int = 0) -> None:
        super().__init__()
        wide, narrow = WIDTHS
        self.body = nn.Sequential(
            nn.Conv2d(channels, wide, 1), nn.ReLU(), nn.Conv2d(wide, narrow, 3, padding=1), nn.ReLU(),
            nn.Conv2d(narrow, 1, 3, padding=1),
        )  # fmt: skip
        generator = torch.Generator().manual_seed(seed)
        for conv in (module for module in self.body if isinstance(module, nn.Conv2d)):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu", generator=generator)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, residuals: Tensor) -> Tensor:
        """The mask (h, w) of residuals (h, w, C)."""
        logits: Tensor = self.body(residuals.permute(2, 0, 1)[None])
        return logits.sigmoid()[0, 0]


def dice_loss(masks: Sequence[Tensor], truths: Sequence[Tensor]) -> Tensor:
    """1 − 2·Σpt / (Σp + Σt) over all places of several photos, so that one without a defect counts too.

    >>> round(dice_loss([torch.tensor([1.0, 0.0])], [torch.tensor([1.0, 0.0])]).item(), 3)
    0.0
    """
    p, t = (torch.cat([part.flatten() for part in parts]) for parts in (masks, truths))
    return 1 - (2 * (p * t).sum() + 1e-3) / (p.sum() + t.sum() + 1e-3)


def train_head(
    head: ResidualHead, residuals: Sequence[Tensor], truths: Sequence[Tensor], *, steps: int = 200, seed: int = 0
) -> list[float]:
    """Train on photos' residuals (h, w, C) and truths (h, w), the share of each patch that is defective; returns the losses.

    Raises:
        BadInput: no photo, or not as many truths as residuals.
    """
    if not residuals or len(residuals) != len(truths):
        raise BadInput(f"{len(residuals)} residuals, {len(truths)} truths: expected as many of both, at least one.")
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    head.train()
    for number in range(steps):
        chosen = torch.randint(len(residuals), (PHOTOS,), generator=generator).tolist()
        loss = dice_loss([head(residuals[index].float()) for index in chosen], [truths[index] for index in chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        step("steps of the head", number + 1, steps)
    head.eval()
    return losses
