"""What a message leans to where no rule reads it: a linear classifier of intents over the words of a sentence.

Multinomial logistic regression over MiniLM's word-piece vectors (Wang et al. 2020), fitted by `python -m benchmarks.intents --write` on
the questions in `tests/agent`; its weights lie beside this module. Rules come first: they know more of what people ask, and why. Of
816 questions in sets left out in turn, these weights read 80 % as they were meant and the rules 85 %, but where no rule spoke (97) the
weights were right 57 times and "tell what stands out" 33 times. Sentence vectors read no more than these, and cost seconds to load.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, TypeAlias

from agent.question import INTENTS, Intent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Embed: TypeAlias = "Callable[[Sequence[str]], NDArray[np.float32]]"
WEIGHTS = "leaning.npz"
NEAR = 0.3
"""Least probability that is an answer; below it a message is not understood."""
SURE = 0.5
"""From here the weights outvote a reading that rests on broad words alone (12 right to 3 wrong of the questions left out)."""
SURE_OF_TALK = 0.7
"""The same for a reading that answers nothing: a refusal, help, a greeting."""
TALKS: frozenset[Intent] = frozenset(("unsupported", "help", "greeting", "export"))
_NEVER_GUESSED: frozenset[Intent] = frozenset(("undo", "reset"))
"""What changes something; a definition changes nothing before the person has confirmed it."""
_MOST_CHARS = 400
_BEGINS = 0.7
"""Weight of how a sentence begins ("what is", "could you") beside all of its words."""


@dataclass(frozen=True)
class Leaning:
    """Weights (768, K) and biases (K) of K intents."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    intents: tuple[Intent, ...]

    def probabilities(self, found: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (N, K) of `vectors` (N, 768)."""
        import numpy as np

        scores = found @ self.weights + self.bias
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


@lru_cache(maxsize=1)
def leaning() -> Leaning:
    """The packaged weights."""
    import numpy as np

    with np.load(BytesIO(files("agent").joinpath(WEIGHTS).read_bytes()), allow_pickle=False) as kept:
        names = [str(name) for name in kept["intents"]]
        intents = tuple(next(known for known in INTENTS if known == name) for name in names)
        return Leaning(kept["weights"].astype(np.float32), kept["bias"].astype(np.float32), intents)


def vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """(N, 768) float32: the direction of the mean of all words of each text, and that of its first two; zeros without words.

    >>> vectors(["", "what is wrong?"]).any(axis=1).tolist()
    [False, True]
    """
    import numpy as np

    from models.text import pieces

    rows = []
    for text in texts:
        words = pieces(text[:_MOST_CHARS])
        parts = [part.mean(axis=0) if len(part) else np.zeros(words.shape[1], np.float32) for part in (words, words[:2])]
        rows.append(
            np.concatenate([w * p / max(float(np.linalg.norm(p)), 1e-9) for w, p in zip((1.0, _BEGINS), parts, strict=True)])
        )
    return np.asarray(rows, np.float32)


def lean(text: str, embed: Embed | None = None) -> tuple[Intent, float] | None:
    """The intent that tidied `text` leans to and its probability (0–1); None for what is never guessed, or without words.

    >>> lean("i do not buy it, convince me")[0]
    'explain'
    """
    vector = (embed or vectors)([text])
    if not vector.any():
        return None
    found = leaning()
    probability = found.probabilities(vector)[0]
    best = int(probability.argmax())
    return None if found.intents[best] in _NEVER_GUESSED else (found.intents[best], float(probability[best]))
