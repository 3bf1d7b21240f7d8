"""A model that sees as a `Looker`: it is shown a picture and statements, and says which one fits.

Only a model that is there is used: the one named in TELLTALE_MODEL (as for `--model`), else the first that `telltale models pull` has
installed. Without one the rules engine abstains where it would have to look.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import ModelOutputError

VARIABLE = "TELLTALE_MODEL"
QUESTION = "Which one of these statements fits the picture best? Answer with its number alone.\n{statements}"


class Chat(Protocol):
    """What a looker needs of a chat model: an answer, with its `text`, to messages."""

    def invoke(self, messages: Any, /) -> Any:
        """The answer to a list of messages."""
        ...


class ChatLooker:
    """A chat model that takes pictures, asked which of some texts fits: 1 in the column of its choice, 0 elsewhere.

    Raises:
        ModelOutputError: the answer holds no number of a statement.
    """

    def __init__(self, model: Chat) -> None:
        self.model = model

    def __call__(self, pictures: Sequence[NDArray[np.uint8]], texts: Sequence[str]) -> NDArray[np.float32]:
        """Scores (N, P) of N pictures (H, W, 3) uint8 and P texts."""
        from models.chat.messages import picture_block

        statements = "\n".join(f"{i}. {text}" for i, text in enumerate(texts, start=1))
        question: dict[str, Any] = {"type": "text", "text": QUESTION.format(statements=statements)}
        out = np.zeros((len(pictures), len(texts)), np.float32)
        for row, picture in enumerate(pictures):
            answer = self.model.invoke([{"role": "user", "content": [picture_block(picture), question]}]).text
            out[row, chosen(answer, len(texts))] = 1.0
        return out


def chosen(answer: str, count: int) -> int:
    """The index of the statement that an answer names, the first number that can be one.

    >>> chosen("Number 2 fits.", 3)
    1
    """
    numbers = [int(found) for found in re.findall(r"\d+", answer) if 1 <= int(found) <= count]
    if not numbers:
        raise ModelOutputError(f"expected the number of one of {count} statements, got {answer[:80]!r}.")
    return numbers[0] - 1


def find_looker() -> tuple[str, ChatLooker] | None:
    """The name of the model that is there and the looker it makes; None without one.

    Raises:
        UserError: a model is named that cannot be had.
    """
    from models.chat.hub import installed_models
    from models.chat.tiers import open_chat

    installed = installed_models()
    name = os.environ.get(VARIABLE, "").strip() or (f"local:{installed[0].title}" if installed else "")
    model = open_chat(name, temperature=0.0) if name else None
    return None if model is None else (name, ChatLooker(model))
