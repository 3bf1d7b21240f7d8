"""What gives way when a question is too long for a server: pictures are shown smaller, then the oldest are left out.

A server says only that a question is too long, not by how much, so it is tried in steps. Words never give way: an answer to half the
evidence would pass for an answer to all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from models.chat.messages import LEFT_OUT, is_picture, prepared

SMALL_SIDE = 448
"""Pixels of the longer side of a picture shown smaller: about a fifth of the tokens of one in full size."""


def lighter(messages: Sequence[BaseMessage]) -> Iterator[tuple[list[BaseMessage], str]]:
    """Ever lighter versions of `messages` with a sentence on what gave way; nothing where there is no picture.

    >>> import numpy as np
    >>> from langchain_core.messages import HumanMessage
    >>> from models.chat.messages import picture_block
    >>> block = picture_block(np.zeros((8, 8, 3), np.uint8))
    >>> [note for _, note in lighter([HumanMessage([block, block])])]
    ['All 2 pictures are shown smaller.', 'Of 2 pictures the oldest 1 left out.', 'Of 2 pictures the oldest 2 left out.']
    """
    n = sum(map(is_picture, (block for message in messages for block in _blocks(message))))
    if not n:
        return
    small = prepared(messages, max_side=SMALL_SIDE, max_pictures=n)
    yield small, f"All {n} pictures are shown smaller."
    kept = n
    while kept:
        kept //= 2
        yield list(_newest(small, n - kept)), f"Of {n} pictures the oldest {n - kept} left out."


def _newest(messages: Sequence[BaseMessage], gone: int) -> Iterator[BaseMessage]:
    """The messages with a text in place of their first `gone` pictures."""
    for message in messages:
        blocks: list[Any] = []
        for block in _blocks(message):
            out = is_picture(block) and gone > 0
            gone -= out
            blocks.append({"type": "text", "text": LEFT_OUT} if out else block)
        yield message.model_copy(update={"content": blocks}) if blocks else message


def _blocks(message: BaseMessage) -> list[Any]:
    return [] if isinstance(message.content, str) else list(message.content)
