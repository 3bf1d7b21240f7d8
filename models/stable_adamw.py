"""AdamW whose step is held back, tensor by tensor, when a gradient is larger than its history lets expect.

Source: Wortsman et al., Stable and low-precision training for large-scale vision-language models (NeurIPS 2023): update clipping as in
AdaFactor (Shazeer & Stern, ICML 2018) in AdamW (Loshchilov & Hutter, ICLR 2019), here with AMSGrad's running maximum (Reddi et
al., ICLR 2018), as anomaly decoders are trained (Guo et al., Dinomaly, CVPR 2025). For each tensor p with gradient g at step t:

    p ← p (1 − lr·decay);  m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  v̂ ← max(v̂, v)
    D = √v̂ / √(1 − β₂ᵗ) + ε;  r = max(1, RMS(g / D));  p ← p − lr / ((1 − β₁ᵗ) r) · m / D

RMS is taken over the whole tensor. While r is 1 this is AdamW with amsgrad.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import BadInput


class StableAdamW(torch.optim.Optimizer):
    """AdamW with AMSGrad and clipped updates, all tensors of a group at once.

    Args:
        params: the parameters, as for any optimiser of torch.
        lr: step size.
        betas: how much of the mean of gradients and of squared gradients is kept from step to step.
        eps: added to the root of the squared gradients.
        weight_decay: decay, independent of the gradients.

    Raises:
        BadInput: a number out of its range.

    >>> weight = nn.Parameter(torch.ones(2))
    >>> optimizer = StableAdamW([weight], lr=0.1, weight_decay=0.0)
    >>> weight.square().sum().backward()
    >>> _ = optimizer.step()
    >>> [round(value, 3) for value in weight.tolist()]
    [0.9, 0.9]
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-10,
        weight_decay: float = 1e-4,
    ) -> None:
        if not (lr >= 0 and eps > 0 and weight_decay >= 0 and all(0 <= beta < 1 for beta in betas)):
            raise BadInput(
                f"lr={lr!r}, betas={betas!r}, eps={eps!r}, weight_decay={weight_decay!r}: expected lr and weight_decay from 0, "
                "eps above 0 and betas from 0 to below 1."
            )
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step on every parameter that has a gradient; returns what `closure` returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._step(parameters, group)
        return loss

    def _step(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for p in parameters:
            if not self.state[p]:
                self.state[p] = {"step": 0, **{name: torch.zeros_like(p) for name in ("mean", "square", "largest")}}
            self.state[p]["step"] += 1
        gradients: list[Tensor] = [p.grad for p in parameters if p.grad is not None]
        means, squares, largest = ([self.state[p][name] for p in parameters] for name in ("mean", "square", "largest"))
        (first, second), lr = group["betas"], group["lr"]
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1 - lr * group["weight_decay"])
        torch._foreach_lerp_(means, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - second)
        torch._foreach_maximum_(largest, squares)
        divisors = torch._foreach_sqrt(largest)
        torch._foreach_div_(divisors, [(1 - second ** self.state[p]["step"]) ** 0.5 for p in parameters])
        torch._foreach_add_(divisors, group["eps"])
        lengths = torch._foreach_norm(torch._foreach_div(gradients, divisors))
        rates = []
        for p, length in zip(parameters, torch.stack(list(lengths)).tolist(), strict=True):
            rms = length / p.numel() ** 0.5
            rates.append(-lr / ((1 - first ** self.state[p]["step"]) * max(1.0, rms)))
        torch._foreach_addcdiv_(parameters, means, divisors, rates)
