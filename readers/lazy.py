"""A sequence of samples that are decoded only when looked at, with a small cache measured in bytes.

Five thousand photos of 12 megapixels are 180 GB decoded; what is kept here never exceeds `cache_bytes`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar, overload

from core.samples import ImageSample, PointSample

S = TypeVar("S", ImageSample, PointSample)

CACHE_BYTES = 256 * 2**20


class LazySamples(Sequence[S], Generic[S]):
    """Samples by index, made by `load(index)` on access and kept while they fit into `cache_bytes`.

    `names` are known without decoding. Slices are lazy too and share the cache. Safe to read from several threads.

    >>> import numpy as np
    >>> photos = LazySamples(("a", "b"), lambda i: ImageSample(name="ab"[i], pixels=np.zeros((2, 3, 3), np.uint8)))
    >>> len(photos), photos.names, photos[-1].name, photos[:1].names
    (2, ('a', 'b'), 'b', ('a',))
    """

    def __init__(
        self,
        names: Sequence[str],
        load: Callable[[int], S],
        *,
        known: Sequence[tuple[int, S]] = (),
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.names: tuple[str, ...] = tuple(names)
        self._store: _Cache[S] = _Cache(load, cache_bytes)
        for index, sample in known:
            self._store.put(index, sample)
        self._indices = range(len(self.names))

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> S: ...
    @overload
    def __getitem__(self, index: slice) -> LazySamples[S]: ...
    def __getitem__(self, index: int | slice) -> S | LazySamples[S]:
        if isinstance(index, slice):
            part: LazySamples[S] = LazySamples.__new__(LazySamples)
            part.names, part._store, part._indices = self.names[index], self._store, self._indices[index]
            return part
        return self._store.get(self._indices[index])

    def __iter__(self) -> Iterator[S]:
        return (self._store.get(i) for i in self._indices)


class _Cache(Generic[S]):
    """Least recently used first out, limited by the bytes of the arrays it holds."""

    def __init__(self, load: Callable[[int], S], limit: int) -> None:
        self._load: Callable[[int], S] = load
        self._limit = limit
        self._held: OrderedDict[int, tuple[S, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, index: int) -> S:
        """Return sample `index`, decoding it when it is not held (outside the lock, so that threads decode side by side)."""
        with self._lock:
            if index in self._held:
                self._held.move_to_end(index)
                return self._held[index][0]
        sample: S = self._load(index)
        self.put(index, sample)
        return sample

    def put(self, index: int, sample: S) -> None:
        """Keep a decoded sample, letting go of those not looked at for longest."""
        size = _nbytes(sample)
        with self._lock:
            if index not in self._held and size <= self._limit:
                self._held[index] = (sample, size)
                self._bytes += size
                while self._bytes > self._limit:
                    _, (_, freed) = self._held.popitem(last=False)
                    self._bytes -= freed


def _nbytes(sample: ImageSample | PointSample) -> int:
    """Bytes of the arrays of one sample."""
    if isinstance(sample, ImageSample):
        return sample.pixels.nbytes
    return sample.xyz.nbytes + sample.valid.nbytes + (0 if sample.rgb is None else sample.rgb.nbytes)
