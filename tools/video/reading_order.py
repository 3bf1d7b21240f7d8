"""In which order a long video is read: a few moments everywhere, then what lies around the strangest, then the rest, evenly.

Units of time are numbered from 0; a stretch is [first, last) of them. Decoding can begin at a key frame only, so moments are taken just
behind one where there is one near, and stretches begin at one: then nothing is decoded twice. Ours throughout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Stretch = tuple[int, int]


def spread_evenly(total: int, wanted: int, cheap: Sequence[int] | None = None) -> NDArray[np.int64]:
    """At most `wanted` of `total` units, one from the middle of each of as many equal slots, in order.

    Where a slot holds a `cheap` unit (the first one behind a key frame), that is taken.

    >>> spread_evenly(20, 4).tolist(), spread_evenly(20, 4, cheap=[0, 6, 11, 19]).tolist()
    ([2, 7, 12, 17], [0, 6, 11, 19])
    """
    edges = np.linspace(0, total, min(wanted, total) + 1)
    found: list[int] = []
    starts = np.unique(np.asarray(cheap if cheap is not None else [], np.int64))
    for low, high in pairwise(edges):
        middle = (low + high) / 2
        inside = starts[(starts >= low) & (starts < high)]
        if len(inside):
            found.append(int(inside[np.abs(inside - middle).argmin()]))
        else:
            found.append(min(int(middle), total - 1))
    return np.unique(np.asarray(found, np.int64))


def stretches(total: int, length: int, cheap: Sequence[int] | None = None) -> list[Stretch]:
    """The whole in stretches of `length` units or a little more, each beginning where decoding can.

    Where key frames are so rare that a stretch would be longer than eight times that, it is cut all the same.

    >>> stretches(25, 10), stretches(25, 10, cheap=[0, 7, 12, 14])
    ([(0, 10), (10, 20), (20, 25)], [(0, 12), (12, 25)])
    """
    edges = [0]
    starts = np.asarray(cheap if cheap is not None else np.arange(0, total, length), np.int64)
    while total - edges[-1] > length:
        ahead = starts[starts >= edges[-1] + length]
        edge = int(ahead[0]) if len(ahead) else total
        edges.append(min(edge, edges[-1] + 8 * length))
        if edges[-1] >= total:
            break
    if edges[-1] < total:
        edges.append(total)
    return [(first, min(last, total)) for first, last in pairwise(edges)]


def halving(count: int) -> Iterator[int]:
    """The numbers below `count` so that those given so far always lie about evenly: bit-reversed (van der Corput 1935).

    >>> list(halving(6))
    [0, 4, 2, 1, 5, 3]
    """
    bits = max(1, (count - 1).bit_length())
    for number in range(2**bits):
        turned = int(f"{number:0{bits}b}"[::-1], 2)
        if turned < count:
            yield turned
