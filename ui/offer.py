"""Which model tiers the page offers, and what a person's choice means.

On the person's own machine: fixed rules, the tier of `--model`, installed models, and any endpoint. Where visitors come from elsewhere
(`strict`: they sign in, or the page listens on the network) only fixed rules and the tier of `--model`: who may name an address makes
this machine send requests, and the chat, to wherever they like.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from core.errors import BadInput, UserError
from models.chat.tiers import FORMS, Tier

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Offer:
    """The tiers of one page. `given` is the text of `--model`; a new chat begins with it.

    Raises:
        UserError: `given` cannot be read.

    >>> Offer(given="endpoint:eyes@http://localhost:8000", strict=True).choices()
    ['embedded', 'endpoint:eyes@http://localhost:8000/v1']
    """

    given: str = "embedded"
    strict: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "given", str(Tier.parse(self.given)))

    def choices(self, current: str = "") -> list[str]:
        """The tiers to choose among, as text; `current` is among them."""
        installed = [] if self.strict else _installed()
        return list(dict.fromkeys([FORMS["embedded"], self.given, *installed, *([current] if current else [])]))

    def accept(self, text: str) -> str:
        """The tier that a person chose or typed, as text.

        Raises:
            UserError: it is not offered here, cannot be read, or is not on this machine.
        """
        text = text.strip()
        if text in (FORMS["embedded"], self.given):
            return text
        if self.strict:
            raise BadInput(f"This page offers {' and '.join(self.choices())} only; who runs it chooses with --model.")
        tier = Tier.parse(text)
        if tier.kind == "scripted" and str(tier) != self.given:
            raise BadInput(
                f"model {text[:80]!r}: a script is only taken from the command line; start the page with --model {tier}."
            )
        if tier.kind == "local":
            from models.chat.hub import find_model

            find_model(tier.name)
        return str(tier)

    def kept(self, text: str) -> str:
        """The tier a chat was left with, or the given one where that is no longer to be had here."""
        try:
            return self.accept(text) if text else self.given
        except UserError as error:
            log.warning("a chat's model %r is replaced by %s: %s", text, self.given, error)
            return self.given


def label(text: str) -> str:
    """A tier for people to choose: its text and where it works.

    >>> label("endpoint:eyes@https://api.example.org/v1")
    'endpoint:eyes@https://api.example.org/v1 – sends this chat to another machine'
    """
    tier = Tier.parse(text)
    if tier.kind == "embedded":
        return f"{text} – fixed rules, no language model"
    if tier.kind == "scripted":
        return f"{text} – replies from a file"
    return f"{text} – {'sends this chat to another machine' if tier.warning() else 'on this machine'}"


def _installed() -> list[str]:
    """The whole models on this machine."""
    from models.chat.hub import installed_models

    try:
        return [str(Tier(kind="local", name=model.title)) for model in installed_models() if not model.missing()]
    except UserError as error:
        log.warning("installed models cannot be offered: %s", error)
        return []
