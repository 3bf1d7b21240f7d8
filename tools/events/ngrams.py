"""What comes next, counted: an interpolated n-gram model with Kneser–Ney counts, and how much of the recent past was ever seen.

Sources: Kneser & Ney (ICASSP 1995) in the interpolated form of Chen & Goodman (1998), one discount per order, n1 / (n1 + 2·n2); lower
orders count in how many contexts a token was met, not how often. The number of recent tokens that were seen in a row is what
STIDE (Forrest et al., S&P 1996; Warrender et al. 1999) asks at one fixed length, here at every length up to the order.
Axes: tokens (N,) are codes of all sequences end to end, `starts` (N,) marks where one begins; a context never reaches over a start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from core.progress import step

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Order:
    """n-grams of one length: sorted `key` (G,) of (context, token), `count` (G,), and per context `total` and `kinds` (C,)."""

    key: Ints
    count: Floats
    total: Floats
    kinds: Floats
    discount: float


@dataclass
class NGrams:
    """Counts of up to `order` tokens in a row; `vocabulary` codes 0 to V − 1 are known, anything else is one unknown token.

    >>> tokens, starts = np.array([0, 1, 2] * 20), np.arange(60) % 30 == 0
    >>> model = NGrams(order=3, vocabulary=3).fit(tokens, starts)
    >>> nats, seen = model.judge(np.array([0, 1, 2, 2, 1]), np.array([True, False, False, False, False]))
    >>> (nats > 1.0).tolist(), seen.tolist()
    ([False, False, False, True, True], [2, 3, 3, 1, 1])
    """

    order: int
    vocabulary: int
    orders: list[_Order] = field(default_factory=list)

    def fit(self, tokens: Ints, starts: NDArray[np.bool_]) -> Self:
        """Count sequences; a second call replaces the first."""
        self.orders = []
        known, place = self._known(tokens), _since(starts)
        grams: list[Ints] = []
        keys: list[Ints] = []
        for n in range(1, self.order + 1):
            step("lengths counted", n - 1, self.order)
            context = self._context(n, grams[-1] if grams else None, place, len(keys[-1]) if keys else 1)
            there = context >= 0
            gram = np.full(len(tokens), -1, np.int64)
            key, gram[there] = np.unique(context[there] * (self.vocabulary + 1) + known[there], return_inverse=True)
            grams.append(gram)
            keys.append(key)
        for n, (gram, key) in enumerate(zip(grams, keys, strict=True), start=1):
            count = np.bincount(gram[gram >= 0], minlength=len(key)).astype(np.float64)
            if n < self.order:
                # longer n-grams that end in this one, each once; where the sequence begins nothing is longer: plain counts
                longer = np.unique(grams[n], return_index=True)[1]
                longer = longer[grams[n][longer] >= 0]
                met = np.bincount(gram[longer], minlength=len(key)).astype(np.float64)
                count = np.where(met > 0, met, count)
            context = key // (self.vocabulary + 1)
            room = (len(keys[n - 2]) if n > 1 else 1) + 1
            once, twice = float((count == 1).sum()), float((count == 2).sum())
            self.orders.append(_Order(
                key=key, count=count, total=np.bincount(context, weights=count, minlength=room).astype(np.float64),
                kinds=np.bincount(context, minlength=room).astype(np.float64),
                discount=min(once / (once + 2.0 * twice), 0.95) if once else 0.5,
            ))  # fmt: skip
        return self

    def judge(self, tokens: Ints, starts: NDArray[np.bool_]) -> tuple[Floats, Ints]:
        """(−log probability of each token given those before it; how many in a row, itself and the start included, were ever seen)."""
        known, place = self._known(tokens), _since(starts)
        chance = np.full(len(tokens), 1.0 / (self.vocabulary + 1))
        seen = np.zeros(len(tokens), np.int64)
        gram: Ints | None = None
        size = 1
        for n, counted in enumerate(self.orders, start=1):
            step("lengths looked up", n - 1, self.order)
            if len(counted.key) == 0:
                break
            context = self._context(n, gram, place, size)
            key = context * (self.vocabulary + 1) + known
            spot = np.minimum(np.searchsorted(counted.key, key), len(counted.key) - 1)
            found = (context >= 0) & (counted.key[spot] == key)
            inside = np.where(context >= 0, context, 0)
            total = np.where(context >= 0, counted.total[inside], 0.0)
            count = np.where(found, counted.count[spot], 0.0)
            left = counted.discount * np.where(context >= 0, counted.kinds[inside], 0.0)
            mixed = np.maximum(count - counted.discount, 0.0) + left * chance
            chance = np.divide(mixed, total, out=chance.copy(), where=total > 0)
            seen = np.where(found, n, seen)
            gram, size = np.where(found, spot, -1), len(counted.key)
        return -np.log(np.clip(chance, 1e-12, 1.0)), np.minimum(seen, self.order)

    def _known(self, tokens: Ints) -> Ints:
        return np.where((tokens >= 0) & (tokens < self.vocabulary), tokens, self.vocabulary)

    @staticmethod
    def _context(n: int, gram: Ints | None, place: Ints, size: int) -> Ints:
        """The number of what n − 1 events before each one were: `size` for the start of its sequence, −1 for never seen or too early."""
        if gram is None:
            return np.zeros(len(place), np.int64)
        before = np.concatenate([[-1], gram[:-1]])[: len(gram)]
        if n == 2:
            return np.where(place == 0, size, before)
        # the start counts as one event, so the first of a sequence has a context of one, the second of two, …
        return np.where(place >= n - 2, before, -1)

    def as_arrays(self) -> dict[str, NDArray[np.float64] | Ints]:
        """Arrays for a file."""
        found: dict[str, NDArray[np.float64] | Ints] = {"discount": np.array([o.discount for o in self.orders])}
        for n, counted in enumerate(self.orders):
            found |= {f"{name}:{n}": getattr(counted, name) for name in ("key", "count", "total", "kinds")}
        return found

    @classmethod
    def of_arrays(cls, arrays: dict[str, NDArray[np.float64] | Ints], *, order: int, vocabulary: int) -> NGrams:
        """Rebuild what `as_arrays` gave."""
        orders = [
            _Order(discount=float(d), **{name: arrays[f"{name}:{n}"] for name in ("key", "count", "total", "kinds")})  # type: ignore[arg-type]
            for n, d in enumerate(arrays["discount"])
        ]
        return cls(order=order, vocabulary=vocabulary, orders=orders)


def _since(starts: NDArray[np.bool_]) -> Ints:
    """How many tokens of its sequence lie before each token.

    >>> _since(np.array([True, False, False, True])).tolist()
    [0, 1, 2, 0]
    """
    place = np.arange(len(starts))
    return place - np.maximum.accumulate(np.where(starts, place, 0))
