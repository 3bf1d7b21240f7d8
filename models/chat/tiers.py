"""The model tiers and their names: what `--model` means, and the chat model it opens.

    embedded                              no language model: rules choose the tools and write the answer from the evidence
    local:Qwen/Qwen3-VL-2B-Instruct       a vision-language model on this machine, by its name on the hub or its folder
    local                                 the same with the model that is used unless one is named
    endpoint:NAME@http://host:8000/v1     a model behind an OpenAI-compatible server
    scripted:replies.yaml                 replies from a file, for tests

Importing this module loads no model library; `open_chat` imports the one that is asked for.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from core.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

    from models.chat.connection import Address

Kind = Literal["embedded", "local", "endpoint", "scripted"]
FORMS: dict[Kind, str] = {
    "embedded": "embedded",
    "local": "local:NAME",
    "endpoint": "endpoint:NAME@http://host:port/v1",
    "scripted": "scripted:PATH",
}
"""How each tier is written; in the order they are listed."""
DEFAULT_LOCAL = "qwen3-vl-4b"
"""The local model where none is named; a row of `models.chat.hub.known_models`."""
_ENDPOINT = re.compile(r"(?P<name>.*?)(?:@(?P<url>[A-Za-z][A-Za-z0-9+.-]*://.*))?", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Tier:
    """A tier as it was asked for: its kind, the model's name (or the script's path) and, for an endpoint, the server's address."""

    kind: Kind
    name: str = ""
    url: str = ""

    @classmethod
    def parse(cls, text: str) -> Tier:
        """Read the text of `--model`; an endpoint without an address is looked for at `TELLTALE_ENDPOINT`.

        Raises:
            UnknownName: no such tier.
            BadInput: a part is missing or too much.

        >>> Tier.parse("endpoint:qwen3-vl@http://127.0.0.1:8000/v1")
        Tier(kind='endpoint', name='qwen3-vl', url='http://127.0.0.1:8000/v1')
        >>> Tier.parse("local:Qwen/Qwen3-VL-2B-Instruct").name
        'Qwen/Qwen3-VL-2B-Instruct'
        >>> str(Tier.parse("local"))
        'local:qwen3-vl-4b'
        """
        word, colon, rest = text.strip().partition(":")
        if word not in FORMS:
            raise UnknownName.among("model tier", word, list(FORMS))
        kind: Kind = word
        rest = rest.strip()
        if kind == "embedded":
            if rest:
                raise BadInput(f"model {text!r}: the embedded tier takes no name; write --model embedded.")
            return cls(kind=kind)
        if kind == "endpoint":
            return _endpoint(rest)
        if kind == "local" and not colon:
            return cls(kind=kind, name=DEFAULT_LOCAL)
        if not rest:
            raise BadInput(f"model {text!r}: expected {FORMS[kind]}.")
        return cls(kind=kind, name=rest)

    def __str__(self) -> str:
        """The text that `parse` reads back."""
        address = f"@{self.url}" if self.url else ""
        return f"{self.kind}:{self.name}{address}" if self.name else self.kind

    def warning(self) -> str | None:
        """One sentence on what leaves this machine with this tier, None where nothing does.

        >>> Tier.parse("embedded").warning() is None
        True
        """
        return _address(self.url).warning() if self.kind == "endpoint" else None

    def describe(self) -> str:
        """One line that says which model answers and where it runs.

        >>> Tier.parse("endpoint:qwen3-vl@http://localhost:8000/v1").describe()
        "Model 'qwen3-vl' answers, served at http://localhost:8000/v1 on this machine."
        """
        if self.kind == "embedded":
            return "Embedded tier: answers are written from the evidence by fixed rules; no language model is in use."
        if self.kind == "local":
            return f"Model {self.name!r} answers, on this machine."
        if self.kind == "scripted":
            return f"Replies are read from the script {self.name!r}; no language model is in use."
        there = " on this machine" if _address(self.url).on_this_machine else ""
        return f"Model {self.name!r} answers, served at {self.url}{there}."


def open_chat(tier: Tier | str, **options: Any) -> BaseChatModel | None:
    """The chat model of `tier`, ready to be asked; None for the embedded tier, which has none.

    `options` go to the model: `temperature`, `max_tokens` and, for an endpoint, `patience`, `attempts`, `max_side`, `max_pictures`.

    Raises:
        UserError: the text cannot be read, or the model cannot be had; the message says what to do.
    """
    chosen = Tier.parse(tier) if isinstance(tier, str) else tier
    if chosen.kind == "embedded":
        return None
    if chosen.kind == "endpoint":
        from models.chat.endpoint import open_endpoint

        return open_endpoint(chosen.name, chosen.url, **options)
    if chosen.kind == "scripted":
        from models.chat.scripted import open_scripted

        return open_scripted(chosen.name)
    from models.chat.local_vlm import open_local

    model: BaseChatModel = open_local(chosen.name, **options)
    return model


def _endpoint(text: str) -> Tier:
    from models.chat.connection import ADDRESS_VARIABLE

    found = _ENDPOINT.fullmatch(text)
    name, url = (found["name"], found["url"]) if found else (text, None)
    url = url or os.environ.get(ADDRESS_VARIABLE, "").strip()
    if not name or not url:
        missing = "the model's name" if not name else f"the server's address (or set {ADDRESS_VARIABLE})"
        raise BadInput(f"model 'endpoint:{name}': {missing} is missing; expected {FORMS['endpoint']}.")
    return Tier(kind="endpoint", name=name, url=_address(url).url)


def _address(url: str) -> Address:
    from models.chat.connection import Address

    return Address.parse(url)
