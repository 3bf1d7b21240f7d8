"""The way to a model server: its address, what leaves this machine, the key, and an HTTP client that sends nothing else.

The OpenAI client reads a dozen environment variables and tells the server about this machine. Here a last look at every request
keeps only the headers the protocol needs; redirects are not followed, since they would carry pictures to another host.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from core.errors import BadInput

if TYPE_CHECKING:
    from openai import AsyncOpenAI

KEY_VARIABLES = ("TELLTALE_API_KEY", "OPENAI_API_KEY")
ADDRESS_VARIABLE = "TELLTALE_ENDPOINT"
_SENT_HEADERS = {"host", "accept", "accept-encoding", "connection", "content-type", "content-length", "transfer-encoding"}
_HIDDEN = "[key]"


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a model server is: the base URL its `/chat/completions` hangs under."""

    url: str
    host: str
    encrypted: bool

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read a base URL; without a path, `/v1` is meant.

        Raises:
            BadInput: not http or https, no host, or a user, password or query inside (a key in a URL ends up in logs).

        >>> Address.parse("http://127.0.0.1:11434").url
        'http://127.0.0.1:11434/v1'
        """
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise BadInput(
                f"the model server's address must hold no user, password or query; set the key in {KEY_VARIABLES[0]} instead."
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput(f"model server {text!r}: expected an address such as http://127.0.0.1:8000/v1.")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        place = f"{host}:{port}" if port else host
        return cls(
            url=f"{parts.scheme}://{place}{parts.path.rstrip('/') or '/v1'}",
            host=parts.hostname,
            encrypted=parts.scheme == "https",
        )

    @property
    def on_this_machine(self) -> bool:
        """Whether the host is this machine by name or by a loopback address (names are not looked up)."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def warning(self) -> str | None:
        """One sentence on what leaves this machine, None where nothing does.

        >>> Address.parse("http://gpu.example.org:8000/v1").warning()
        'Questions, evidence and pictures of this chat are sent to gpu.example.org, unencrypted: others on the way can read them.'
        >>> Address.parse("http://localhost:8000/v1").warning() is None
        True
        """
        if self.on_this_machine:
            return None
        how = "encrypted" if self.encrypted else "unencrypted: others on the way can read them"
        return f"Questions, evidence and pictures of this chat are sent to {self.host}, {how}."


def key_for(address: Address) -> SecretStr | None:
    """The key from the environment: `TELLTALE_API_KEY`, else `OPENAI_API_KEY`; None where the server needs none.

    `OPENAI_API_KEY` was set for another purpose: it goes to this machine or through encryption only, never in the clear.

    Raises:
        BadInput: the key holds characters a header cannot carry (the message does not show it).
    """
    for variable in KEY_VARIABLES:
        key = os.environ.get(variable, "").strip()
        if not key:
            continue
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise BadInput(f"{variable}: the key holds a space, a line break or a character outside ASCII; copy it again.")
        if variable == KEY_VARIABLES[1] and not (address.encrypted or address.on_this_machine):
            continue
        return SecretStr(key)
    return None


def without_key(text: str, key: SecretStr | None) -> str:
    """`text` with the key taken out, whole or by its first or last eight characters; servers like to quote what they refuse.

    >>> without_key("Incorrect key provided: sk-1234567890", SecretStr("sk-1234567890"))
    'Incorrect key provided: [key]'
    """
    secret = key.get_secret_value() if key else ""
    if not secret:
        return text
    text = text.replace(secret, _HIDDEN)
    if len(secret) >= 16:
        text = text.replace(secret[:8], _HIDDEN).replace(secret[-8:], _HIDDEN)
    return text


def client(address: Address, key: SecretStr | None, *, connect_s: float) -> AsyncOpenAI:
    """An OpenAI client for one call: no retries and no read timeout of its own, no redirects, no proxy to this machine.

    The client object never holds the key; it is written into each request as that leaves.
    """
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

    async def strip(request: Any) -> None:
        for name in [name for name in request.headers if name.lower() not in _SENT_HEADERS]:
            del request.headers[name]
        request.headers["User-Agent"] = "telltale"
        if key is not None:
            request.headers["Authorization"] = f"Bearer {key.get_secret_value()}"

    http = DefaultAsyncHttpxClient(
        follow_redirects=False,
        trust_env=not address.on_this_machine,
        verify=address.encrypted,  # reading the certificates takes longer than a local answer
        event_hooks={"request": [strip]},
    )
    return AsyncOpenAI(
        api_key="none", base_url=address.url, max_retries=0, timeout=Timeout(None, connect=connect_s), http_client=http
    )
