"""Word lists as sets."""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """The words of a text, which may run over several lines.

    >>> sorted(word_set("of the"))
    ['of', 'the']
    """
    return frozenset(text.split())
