"""A definition before it takes effect: read, shown in words with where it would fire, and then confirmed, changed or cancelled."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from agent.question import SourceInfo
from core.errors import BadInput, TelltaleError
from core.evidence import Anomaly
from core.rules import Scope

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

    from agent.rules.compile import Reading
    from core.rules import Rule

log = logging.getLogger(__name__)
CONFIRM = "Say “yes” to put it in force, “no” to drop it, or say it in other words."
_POLITE = r"[\s.!,]*(?:please|thanks|thank you|do it|go ahead|apply it|that is right)?[\s.!]*$"
_YES = re.compile(
    r"^(?:yes|yep|yeah|y|ok|okay|sure|confirm(?:ed)?|correct|right|exactly|do it|go ahead|apply(?: it)?|in force|keep it|please do"
    rf"|that is right|looks? good|fine|agreed|ja|oui|s[ií])\b{_POLITE}",
    re.IGNORECASE,
)
_NO = re.compile(
    r"^(?:no|nope|n|cancel(?: it| that)?|drop(?: it| that)?|forget(?: it| that)?|never ?mind|stop|discard(?: it)?|do not|don't|undo"
    rf"|nein|non)\b{_POLITE}",
    re.IGNORECASE,
)
_CHANGED = re.compile(
    r"^(?:no,?\s+)?(?:change(?: it)?(?: to)?|i mean(?:t)?|rather|make (?:it|that)|instead|better)[:,]?\s+(?P<text>.{3,})$", re.I
)

Outcome = Literal["yes", "no", "change", "other"]


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A reading as plain values (`compiled`), how it is worded, and what was said about it."""

    text: str
    compiled: dict[str, Any]
    scope: dict[str, Any]
    by: str
    lines: tuple[str, ...]

    def reading(self) -> Reading:
        """The reading again."""
        from agent.rules.compile import Reading
        from agent.rules.conditions import Definition

        return Reading(definition=Definition.model_validate(self.compiled), scope=Scope(**self.scope), text=self.text)


def propose(
    what: str | Reading, sources: Sequence[SourceInfo], preview: Callable[[Reading], list[str]], others: Sequence[Rule],
    *, model: BaseChatModel | None = None,
) -> Proposal:  # fmt: skip
    """Read a definition (or take one made from a finding): how it was understood, where it would fire, contradictions, limits.

    With a `model` it reads; what it cannot make of the words the fixed rules read.

    Raises:
        BadInput: nothing that can be measured; the message says what to write instead.
    """
    from agent.rules.conflicts import find_conflicts
    from agent.rules.measurable import limits_of_definition
    from agent.rules.wording import definition_words

    reading, by = _read(what, sources, model) if isinstance(what, str) else (what, "finding")
    words = definition_words(reading.definition, reading.scope)
    lines = [words, *(f"Cannot be measured as it is: {limit.words}" for limit in limits_of_definition(reading.definition))]
    lines += preview(reading)
    lines += [conflict.sentence for conflict in find_conflicts(reading.rule("R0"), others)]
    return Proposal(
        text=reading.text, compiled=reading.definition.model_dump(mode="json"), by=by,
        scope={"source": reading.scope.source, "kind": reading.scope.kind}, lines=tuple(line.replace("R0", "This") for line in lines),
    )  # fmt: skip


def _read(text: str, sources: Sequence[SourceInfo], model: BaseChatModel | None) -> tuple[Reading, str]:
    from agent.rules.compile import compile_rule

    if model is not None:
        from agent.rules.llm import compile_by_model

        try:
            return compile_by_model(text, model, sources=sources), "model"
        except BadInput:
            raise
        except TelltaleError as error:
            log.warning("the model could not read the rule %r: %s", text, error)
    return compile_rule(text, sources=sources, embed=_embed), "embedded"


def _embed(texts: Any) -> Any:
    from models.text import embed

    return embed(texts)


def pointed_at(word: str, told: Sequence[Anomaly]) -> Anomaly | None:
    """The finding that "that", "E2", "finding 2" or "the last one" means among those told last, worst first."""
    if not told:
        return None
    if word.startswith("e") and word[1:].isdigit():
        return next((a for a in told if a.evidence[0] == word.upper()), None)
    numbers = {"first": 0, "second": 1, "third": 2, "last": len(told) - 1}
    at = next((i for key, i in numbers.items() if key in word), None)
    if at is None:
        digits = re.findall(r"\d+", word)
        at = int(digits[0]) - 1 if digits else 0
    return told[at] if 0 <= at < len(told) else None


def understood(reply: str) -> tuple[Outcome, str]:
    """What a reply to a proposal means, and the new words when it changes it.

    >>> understood("Yes, please!"), understood("cancel"), understood("I mean pressure above 8 bar")
    (('yes', ''), ('no', ''), ('change', 'pressure above 8 bar'))
    >>> understood("how many photos are there?")
    ('other', '')
    """
    plain = " ".join(reply.split())
    if _YES.match(plain):
        return "yes", ""
    if _NO.match(plain):
        return "no", ""
    if match := _CHANGED.match(plain):
        return "change", match["text"]
    return "other", ""
