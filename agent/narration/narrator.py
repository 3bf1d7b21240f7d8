"""Asks a chat model for an answer and keeps what the evidence bears out: at most two rounds of repair, then what is wrong goes.

What holds is the answer. What the model says to see in pictures, and nothing measured, is kept apart and marked. A model that fails, or
of whose answer nothing is left, leaves the answer to the fixed rules, with one sentence that says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.checking.sentences import Judgement, judge_text
from agent.checking.words import NOT_ENGLISH
from agent.narration.scene import Scene
from agent.verify import cited_ids
from core.errors import BudgetExceeded
from models.chat.failures import AnswerCutOff, finished, reason
from models.chat.timing import speed
from prompts.loader import render

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from core.evidence import Evidence

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
    """What is left of a model's answer: `lines` that hold, `views` of its own, `removed` with why, and its `speed` in words."""

    lines: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    removed: tuple[Judgement, ...] = ()
    repaired: int = 0
    failure: str = ""
    speed: str = ""


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
        return Narration(failure=reason(error))
    judged = _judged(first.text, evidence, scene)
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
        except AnswerCutOff:
            break
        except (BudgetExceeded, KeyboardInterrupt):
            raise
        except Exception as error:
            log.warning("the model failed while mending its answer: %s", error)
            break
        lines = [line for line in said.splitlines() if line.strip()]
        if len(lines) != len(wrong):  # it did not keep to the order: nothing can be put in place of anything
            continue
        for i, line in zip(wrong, lines, strict=True):
            anew = _judged(line, evidence, scene)
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
        failure="" if lines else _nothing_left(removed),
        speed=speed(first.timing),
    )  # fmt: skip


def _nothing_left(removed: Sequence[Judgement]) -> str:
    """Why nothing of an answer is left: sentences of another language cannot be held against the evidence, so none of them is shown."""
    if removed and all(NOT_ENGLISH in judgement.problems for judgement in removed):
        return "it did not answer in English, and only English sentences can be held against the evidence"
    return "nothing it said could be borne out by the evidence"


def _judged(text: str, evidence: Mapping[str, Evidence], scene: Scene) -> list[Judgement]:
    """The sentences of a text, judged; one that the fixed rules wrote, word for word and on the same evidence, was checked before."""
    proven = scene.proven
    judged = judge_text(text, evidence, scene.question)
    return [_as_said(j) if j.kind != "fact" and j.cited and proven.get(j.text) == j.cited else j for j in judged]


def _as_said(judgement: Judgement) -> Judgement:
    """A sentence that holds, with its citation where the next one carried it."""
    text = judgement.text
    if not cited_ids(text):
        text = f"{text.rstrip('.')} [{', '.join(judgement.cited)}]."
    return Judgement(text=text, kind="fact", cited=judgement.cited)


def _ask(model: BaseChatModel, messages: list[BaseMessage], written: Written) -> _Round:
    """Stream one reply; `written` hears how far it is. Of one that is cut off, the finished sentences are kept."""
    found, cut = _Round(), False
    try:
        for chunk in model.stream(messages):
            found.text += str(chunk.text)
            found.timing = chunk.response_metadata.get("timing") or found.timing
            written(len(found.text))
            cut = chunk.response_metadata.get("finish_reason") == "length" or len(found.text) > LONGEST_REPLY
            if cut:
                break
    except AnswerCutOff:
        cut = True
        if not finished(found.text):
            raise
    if cut:
        found.text = finished(found.text)
    return found
