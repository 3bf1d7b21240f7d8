"""How a TriP network cuts windows into patches; apart from the network, so that it can be checked before torch is loaded.

Source: Yu, Ouyang & Lin, TriP-LLM (IEEE Access 2025): patches of several sizes p₁ < p₂ < …, all `stride` steps apart.
Units: steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the network's size depends on: channels M, window L, ascending patch sizes, their common stride."""

    channels: int
    window: int
    patches: tuple[int, ...]
    stride: int

    def __post_init__(self) -> None:
        small, large = self.patches[0], self.patches[-1]
        if list(self.patches) != sorted(set(self.patches)) or not 1 <= self.stride <= small or large > self.window:
            raise BadInput(
                f"patches={self.patches!r}, stride={self.stride!r}, window={self.window!r}: expected ascending patch sizes, none longer "
                "than the window, and a stride of 1 to the smallest of them."
            )
        if (self.window - small) % self.stride:
            near = small + self.stride * ((self.window - small) // self.stride)
            raise BadInput(
                f"window={self.window!r}: its last steps would lie in no patch of {small} steps every {self.stride}; use {near} or "
                f"{near + self.stride}."
            )

    def count(self, patch: int) -> int:
        """Patches of this size in a window.

        >>> Shape(channels=1, window=48, patches=(4, 8), stride=2).count(4)
        23
        """
        return (self.window - patch) // self.stride + 1

    @property
    def tokens(self) -> int:
        """Patches of the smallest size."""
        return self.count(self.patches[0])
