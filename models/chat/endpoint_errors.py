"""What went wrong with a model server, in one sentence and in the class that says who can mend it."""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import openai
from pydantic import SecretStr

from core.errors import BadInput, BudgetExceeded, ModelOutputError, TelltaleError, UserError
from models.chat.connection import KEY_VARIABLES, Address, without_key
from models.chat.failures import one_line

_TOO_LONG = re.compile(
    r"context.?(length|size|window)|maximum context|too many tokens|(prompt|input|request).{0,20}too (long|large)", re.IGNORECASE
)
_NO_TOOLS = re.compile(
    r"(does(n't| not)|cannot|can't) support.{0,20}tool|tool.?choice.{0,40}requires|tools?.{0,30}not supported|--jinja",
    re.IGNORECASE,
)
_NO_PICTURES = re.compile(
    r"(image|multimodal|vision).{0,60}(not support|unsupported|not a multimodal|missing)|not a multimodal|"
    r"(not support|unsupported).{0,40}(image|multimodal|vision)|image input",
    re.IGNORECASE,
)
_PASSING = {408, 409, 425, 429}


class HalfStream(Exception):
    """The stream ended without the mark that the answer is complete; `empty` if nothing of the protocol came at all."""

    def __init__(self, *, empty: bool = False) -> None:
        super().__init__()
        self.empty = empty


class Silence(Exception):
    """Nothing came for as long as was allowed; the message says what was waited for."""


def is_wire_error(error: BaseException) -> bool:
    """Whether `error` came from the server or the way to it, not from a mistake in this program."""
    wire = (openai.OpenAIError, HalfStream, Silence, ValueError, OSError)
    return isinstance(error, wire) or type(error).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2")


def is_passing(error: BaseException) -> bool:
    """Whether the same request may succeed a little later: too many requests, a server in trouble, a lost connection.

    A server that cannot be reached at all is no passing trouble: a wrong address should be told at once.
    Errors inside a stream carry no status; they count as passing unless they complain about the request itself.
    """
    if isinstance(error, openai.APIStatusError):
        return error.status_code in _PASSING or (error.status_code >= 500 and not is_too_long(error))
    if isinstance(error, openai.APIConnectionError):
        return is_lost(error)
    if isinstance(error, openai.APIError):
        return not (is_too_long(error) or (error.type or "").startswith("invalid"))
    return isinstance(error, HalfStream) or is_lost(error)


def is_too_long(error: BaseException) -> bool:
    """Whether the server says that the question is longer than the model takes."""
    if isinstance(error, openai.APIStatusError):
        return error.status_code == 413 or (error.status_code in (400, 422, 500) and bool(_TOO_LONG.search(_said(error))))
    return isinstance(error, openai.APIError) and bool(_TOO_LONG.search(_said(error)))


def is_without_tools(error: BaseException) -> bool:
    """Whether the server says that this model, as it is served, cannot call tools."""
    return isinstance(error, openai.APIStatusError) and error.status_code < 500 and bool(_NO_TOOLS.search(_said(error)))


def retry_after(error: BaseException, *, now: Callable[[], float] = time.time) -> float | None:
    """Seconds the server asks to wait (header Retry-After, seconds or a date), None where it does not say."""
    if not isinstance(error, openai.APIStatusError):
        return None
    text = error.response.headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now()
        except (TypeError, ValueError, IndexError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked of whom, for the sentences."""

    model: str
    address: Address
    key: SecretStr | None
    attempts: int = 1
    connect_s: float = 0.0


def explained(error: BaseException, asked: Asked) -> TelltaleError:
    """The error as Telltale raises it: one sentence, no key, the server's own words cut to one line."""
    if isinstance(error, TelltaleError):
        return error
    said = without_key(one_line(_said(error)), asked.key).rstrip(".")
    where = f"the model server at {asked.address.url}"
    again = f" after {asked.attempts} attempts" if asked.attempts > 1 else ""
    if isinstance(error, Silence):
        return BudgetExceeded(f"{where} was given up: {error}.")
    if isinstance(error, HalfStream) and error.empty:
        return ModelOutputError(
            f"{where} sent nothing that belongs to the OpenAI protocol{again}. Check the address; it often ends in /v1."
        )
    if isinstance(error, HalfStream):
        return ModelOutputError(f"{where} ended the answer before it was complete{again}.")
    if isinstance(error, openai.APIStatusError):
        return _status(error, asked, where, said, again)
    if isinstance(error, openai.APITimeoutError):
        return UserError(
            f"no connection to {where} within {asked.connect_s:g} s{again}. Check the address and whether the server runs."
        )
    if isinstance(error, (openai.APIConnectionError, OSError)) or not isinstance(error, (openai.OpenAIError, ValueError)):
        if is_lost(error):
            return ModelOutputError(f"{where} closed the connection before it had answered{again}.")
        return UserError(f"{where} cannot be reached{again}. Start it, or check the address and the port.")
    if isinstance(error, openai.APIError):
        if is_too_long(error):
            return _too_long(asked, said)
        return ModelOutputError(f"{where} broke off with an error{again}: {said}.")
    return ModelOutputError(f"{where} sent something that is not the JSON of the OpenAI protocol ({said}).")


def is_lost(error: BaseException) -> bool:
    """Whether a connection stood and was lost, as against never having stood."""
    cause: BaseException | None = error
    while cause is not None:
        if type(cause).__name__ in ("RemoteProtocolError", "ReadError", "WriteError", "LocalProtocolError"):
            return True
        cause = cause.__cause__
    return isinstance(error, ConnectionResetError)


def _status(error: openai.APIStatusError, asked: Asked, where: str, said: str, again: str) -> TelltaleError:
    status = error.status_code
    if status in (401, 403):
        mend = f"Check the key in {KEY_VARIABLES[0]}." if asked.key else f"It wants a key: set {KEY_VARIABLES[0]}."
        return UserError(f"{where} refused access (HTTP {status}: {said}). {mend}")
    if status == 429:
        wait = retry_after(error)
        when = f" It asks to wait {wait:.0f} s." if wait else ""
        return UserError(
            f"{where} takes no more requests for now{again} (HTTP 429: {said}).{when} Try later or choose another model."
        )
    if status in (301, 302, 303, 307, 308):
        return UserError(f"{where} points to another address (HTTP {status}), which is not followed. Give the final address.")
    if is_too_long(error):
        return _too_long(asked, said)
    if status in (400, 422, 500, 501) and _NO_PICTURES.search(said):
        return BadInput(
            f"model {asked.model!r} at {asked.address.url} takes no pictures ({said}). Choose a vision-language model."
        )
    if status >= 500:
        return ModelOutputError(f"{where} failed{again} (HTTP {status}: {said}).")
    return BadInput(f"{where} refused the request (HTTP {status}: {said}).")


def _too_long(asked: Asked, said: str) -> BadInput:
    return BadInput(
        f"the question with its evidence and pictures is too long for model {asked.model!r} ({said}). "
        "Ask about fewer sources, or serve the model with a longer context."
    )


def _said(error: BaseException) -> str:
    """The server's own words."""
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error", body)
        for value in (inner.get("message") if isinstance(inner, dict) else inner, body.get("message"), body.get("detail")):
            if isinstance(value, str) and value:
                return value
    if isinstance(body, str) and body.strip():
        return re.sub(r"<[^>]*>", " ", body) if "<" in body else body
    return str(error)
