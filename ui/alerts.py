"""Where alerts go: a file, one JSON object a line, and a webhook. Neither can stop or slow the watching.

The webhook is posted by a thread of its own from a queue of MOST_WAITING alerts; a server that is slow, down or answers 5xx is tried again
with growing waits, then given up for that alert, which is said. Its address may hold a password: only scheme, host and port are shown.
"""

from __future__ import annotations

import base64
import json
import queue
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from core.errors import BadInput

TRIES = 4
TIMEOUT_S = 5.0
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
MOST_WAITING = 100
"""Alerts that wait for the webhook; beyond, the oldest is given up."""
_AGAIN = frozenset({408, 425, 429})

Say = Callable[[str], None]


class AlertFile:
    """Alerts appended to a file as JSON lines, each written through at once.

    Raises:
        BadInput: the file cannot be written to (at the start; later that is only said).
    """

    def __init__(self, path: Path, say: Say) -> None:
        self._path, self._say, self._failed = path, say, False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("a", encoding="utf-8").close()
        except OSError as error:
            raise BadInput(f"--alerts {str(path)!r}: the file cannot be written ({error.strerror}).") from error

    def put(self, alert: Mapping[str, Any]) -> None:
        """Append one alert."""
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(alert, ensure_ascii=False, default=str) + "\n")
            self._failed = False
        except OSError as error:
            if not self._failed:  # said once, not with every alert
                self._say(f"alerts are not kept: {self._path.name} cannot be written ({error.strerror})")
            self._failed = True


class _Refused(Exception):
    """A try that failed; `again` says whether another makes sense."""

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(why)
        self.again = again


class _NoRedirect(HTTPRedirectHandler):
    """An alert goes where it was sent, or nowhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nothing."""


class Webhook:
    """Posts alerts as JSON to an address, in the background.

    Args:
        address: http or https; user and password in it become a header.
        say: told what could not be delivered.
        timeout_s: seconds a server has to accept and answer.
        first_wait_s: seconds before the second try; each wait after is twice as long, plus up to as much by chance.

    Raises:
        BadInput: not such an address.
    """

    def __init__(
        self, address: str, say: Say, *, timeout_s: float = TIMEOUT_S, first_wait_s: float = FIRST_WAIT_S, tries: int = TRIES,
        most_waiting: int = MOST_WAITING,
    ) -> None:  # fmt: skip
        from readers.network import shown_address

        self.name = shown_address(address)
        try:
            parts = urlsplit(address)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        if host is None or parts.scheme not in ("http", "https"):
            raise BadInput(f"--webhook {self.name}: expected an address like https://example.org/alerts.")
        self.local = host in ("localhost", "127.0.0.1", "::1")
        self.encrypted = parts.scheme == "https"
        shown = f"[{host}]" if ":" in host else host
        self._address = urlunsplit((parts.scheme, shown + (f":{port}" if port else ""), parts.path or "/", parts.query, ""))
        self._headers = {"Content-Type": "application/json", "User-Agent": "telltale"}
        if parts.username is not None:
            secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
        self._say, self._timeout_s, self._first_wait_s, self._tries = say, timeout_s, first_wait_s, tries
        self._waiting: queue.Queue[Mapping[str, Any] | None] = queue.Queue(maxsize=most_waiting)
        self._hurry = Event()
        self._thread = Thread(target=self._work, name="webhook", daemon=True)
        self._thread.start()

    def warning(self) -> str | None:
        """What a person should know before the first alert leaves this machine."""
        if self.local:
            return None
        return f"Alerts (words, times and numbers, no pictures) are sent to {self.name}{'' if self.encrypted else ', not encrypted'}."

    def put(self, alert: Mapping[str, Any]) -> None:
        """Queue one alert; never waits."""
        while True:
            try:
                self._waiting.put_nowait(alert)
                return
            except queue.Full:
                try:
                    lost = self._waiting.get_nowait()
                except queue.Empty:
                    continue
                self._say(f"webhook {self.name}: too many alerts wait; {_which(lost)} was given up")

    def close(self, wait_s: float = 10.0) -> None:
        """Deliver what waits, for at most `wait_s` seconds."""
        try:
            self._waiting.put(None, timeout=wait_s / 2)
            self._thread.join(wait_s / 2)
        except queue.Full:
            pass
        self._hurry.set()
        if self._thread.is_alive():
            self._thread.join(1.0)
        if self._thread.is_alive():
            self._say(f"webhook {self.name}: not all alerts could be delivered in time")

    def _work(self) -> None:
        while True:
            alert = self._waiting.get()
            if alert is None:
                return
            try:
                self._deliver(json.dumps(alert, ensure_ascii=False, default=str).encode())
            except _Refused as error:
                self._say(f"webhook {self.name}: {_which(alert)} could not be delivered ({error})")

    def _deliver(self, data: bytes) -> None:
        """Post until it is accepted, makes no sense any more, or was tried often enough."""
        import tenacity as again

        again.Retrying(
            retry=again.retry_if_exception(lambda error: isinstance(error, _Refused) and error.again), reraise=True,
            stop=again.stop_after_attempt(self._tries) | again.stop_when_event_set(self._hurry),
            wait=again.wait_exponential(multiplier=self._first_wait_s, max=LONGEST_WAIT_S)
            + again.wait_random(0, self._first_wait_s),
            sleep=again.sleep_using_event(self._hurry),
        )(self._post, data)  # fmt: skip

    def _post(self, data: bytes) -> None:
        request = Request(self._address, data=data, headers=self._headers, method="POST")
        try:
            with build_opener(_NoRedirect).open(request, timeout=self._timeout_s):
                return
        except HTTPError as error:
            error.close()
            raise _Refused(f"HTTP {error.code}", again=error.code >= 500 or error.code in _AGAIN) from None
        except TimeoutError:
            raise _Refused(f"no answer within {self._timeout_s:g} s", again=True) from None
        except URLError as error:
            slow = isinstance(error.reason, TimeoutError)
            why = (
                f"no answer within {self._timeout_s:g} s" if slow else getattr(error.reason, "strerror", None) or "no connection"
            )
            raise _Refused(str(why), again=True) from None
        except (OSError, HTTPException) as error:
            raise _Refused(getattr(error, "strerror", None) or type(error).__name__, again=True) from None


def _which(alert: Mapping[str, Any] | None) -> str:
    return "an alert" if alert is None else f"event {alert.get('event', '?')} ({alert.get('state', 'alert')})"
