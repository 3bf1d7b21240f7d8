"""Asks a chat model for an answer and keeps what the evidence bears out: at most two rounds of repair, then what is wrong goes.

What holds is the answer. What the model says to see in pictures, and nothing measured, is kept apart and marked. A model that fails, or
of whose answer nothing is left, leaves the answer to the fixed rules, with one sentence that says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.checking.sentences import Judgement, judge_text
from agent.narration.scene import Scene
from core.errors import BudgetExceeded, TelltaleError
from prompts.loader import render

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import BaseMessage

log = logging.getLogger(__name__)
ROUNDS = 2
MOST_VIEWS = 3
VIEW_MARK = "The model's own view, not measured:"
LONGEST_REPLY = 12_000
"""Characters read of one reply: a model that does not stop is stopped."""

Written = Callable[[int], None]
"""Told how many characters have been written so far; may raise to stop the model."""


@dataclass(frozen=True, kw_only=True)
class Narration:
    """What is left of a model's answer: `lines` that hold, `views` of its own, `removed` with why, and its speed."""

    lines: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    removed: tuple[Judgement, ...] = ()
    repaired: int = 0
    failure: str = ""
    first_token_s: float | None = None
    tokens_per_s: float | None = None

    @property
    def speed(self) -> str:
        """Time to the first token and tokens per second, for the step display; empty when not known.

        >>> Narration(first_token_s=0.84, tokens_per_s=31.2).speed
        'first token after 0.8 s, 31 tokens/s'
        """
        if self.first_token_s is None:
            return ""
        rate = f", {self.tokens_per_s:.0f} tokens/s" if self.tokens_per_s else ""
        return f"first token after {self.first_token_s:.1f} s{rate}"


@dataclass
class _Round:
    """One request and what came back."""

    text: str = ""
    timing: Mapping[str, float] = field(default_factory=dict)


def narrate(model: BaseChatModel, scene: Scene, *, written: Written = lambda n: None) -> Narration:
    """An answer of `model` about `scene`, checked; its failures are in `failure`, never raised.

    Raises:
        BudgetExceeded: `written` stopped it.
    """
    from langchain_core.messages import AIMessage, HumanMessage

    evidence = {item.id: item for item in (*scene.evidence, *scene.relations)}
    messages = scene.messages()
    try:
        first = _ask(model, messages, written)
    except (BudgetExceeded, KeyboardInterrupt):
        raise
    except Exception as error:  # a server, a driver or a library: whatever it is, the chat goes on without the model
        return Narration(failure=_why(error))
    judged = judge_text(first.text, evidence, scene.question)
    repaired = 0
    said = first.text
    for _ in range(ROUNDS):
        wrong = [i for i, j in enumerate(judged) if j.kind == "wrong"]
        if not wrong:
            break
        request = render("narrate_repair", wrong=[{"text": judged[i].text, "problems": judged[i].problems} for i in wrong])
        messages = [*messages, AIMessage(said), HumanMessage(request)]
        try:
            said = _ask(model, messages, written).text
        except (BudgetExceeded, KeyboardInterrupt):
            raise
        except Exception as error:
            log.warning("the model failed while mending its answer: %s", error)
            break
        lines = [line for line in said.splitlines() if line.strip()]
        if len(lines) != len(wrong):  # it did not keep to the order: nothing can be put in place of anything
            continue
        for i, line in zip(wrong, lines, strict=True):
            anew = judge_text(line, evidence, scene.question)
            if anew and all(j.kind == "fact" for j in anew):
                joined = " ".join(j.text for j in anew)
                judged[i] = Judgement(text=joined, kind="fact", cited=tuple(dict.fromkeys(c for j in anew for c in j.cited)))
                repaired += 1
    removed = tuple(j for j in judged if j.kind == "wrong")
    for judgement in removed:
        log.warning("removed from the model's answer: %r (%s)", judgement.text, "; ".join(judgement.problems))
    lines = list(dict.fromkeys(j.text for j in judged if j.kind == "fact"))
    views = list(dict.fromkeys(j.text for j in judged if j.kind == "view"))[:MOST_VIEWS]
    return Narration(
        lines=tuple(lines), views=tuple(views), removed=removed, repaired=repaired,
        failure="" if lines else "nothing it said could be borne out by the evidence",
        first_token_s=first.timing.get("first_token_s"), tokens_per_s=first.timing.get("tokens_per_s"),
    )  # fmt: skip


def _ask(model: BaseChatModel, messages: list[BaseMessage], written: Written) -> _Round:
    """Stream one reply; `written` hears how far it is."""
    found = _Round()
    for chunk in model.stream(messages):
        found.text += str(chunk.text)
        found.timing = chunk.response_metadata.get("timing") or found.timing
        written(len(found.text))
        if len(found.text) > LONGEST_REPLY:
            break
    return found


def _why(error: Exception) -> str:
    """One line of what went wrong; of an error that is not ours only its kind, for it may hold anything."""
    if isinstance(error, TelltaleError):
        return " ".join(str(error).split()).rstrip(".")
    log.exception("the model failed")
    return f"it failed with {type(error).__name__}"
