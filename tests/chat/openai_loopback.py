"""A small server on 127.0.0.1 that speaks the OpenAI chat protocol, well and badly, as a list of steps tells it.

Each request takes the next step; what was sent is kept in `requests`. It stops, and lets go of waiting requests, when its `with` ends.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = Callable[["Handler"], None]


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float
    hung_up: threading.Event = field(default_factory=threading.Event)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.body["messages"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silent."""

    def do_GET(self) -> None:
        if self.path != "/v1/models":
            return self.answer(404, {"error": {"message": "no such path"}})
        if not self.allowed():
            return None
        return self.answer(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.server.models]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.request_seen = Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body, time.monotonic())
        self.server.requests.append(self.request_seen)
        if self.path != "/v1/chat/completions":
            return self.answer(404, {"error": {"message": "no such path"}})
        if not self.allowed():
            return None
        if body["model"] not in self.server.models:
            return self.answer(404, {"error": {"message": f"The model `{body['model']}` does not exist."}})
        with self.server.lock:
            steps = self.server.plans if body.get("tools") and self.server.plans is not None else self.server.steps
            step = steps.pop(0) if steps else say("done") if steps is self.server.plans else status(500, "no step left")
        try:
            step(self)
        except (BrokenPipeError, ConnectionResetError):
            self.request_seen.hung_up.set()
        return None

    def allowed(self) -> bool:
        given = self.headers.get("Authorization", "")
        if self.server.key and given != f"Bearer {self.server.key}":
            message = f"Incorrect API key provided: {given.removeprefix('Bearer ')}."  # servers do quote it
            self.answer(401, {"error": {"message": message, "code": "invalid_api_key"}})
            return False
        return True

    def answer(self, code: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def begin(self, content_type: str = "text/event-stream") -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def send(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def event(self, delta: dict[str, Any], *, finish: str | None = None, **more: Any) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": self.request_seen.body["model"],
            "choices": [choice],
        }
        self.send(f"data: {json.dumps({**chunk, **more})}\n\n")

    def end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond the end of the test, and notice that the client hung up."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.server.stopping.is_set():
            readable, _, _ = select.select([self.connection], [], [], 0.02)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                raise BrokenPipeError

    def drop(self) -> None:
        """Close the connection with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        self.wfile = _Nowhere()  # type: ignore[assignment]


class _Nowhere:
    closed = False

    def write(self, data: bytes) -> int:
        return len(data)

    def flush(self) -> None: ...

    def close(self) -> None: ...


class Server(ThreadingHTTPServer):
    daemon_threads = True
    steps: list[Step]
    plans: list[Step] | None = None
    """Steps for requests that offer tools, where they are not taken from `steps`; after the last, nothing more is wanted."""
    requests: list[Request]
    models: list[str]
    key: str
    stopping: threading.Event
    lock: threading.Lock


class Loopback:
    def __enter__(self) -> Loopback:
        self.http = Server(("127.0.0.1", 0), Handler)
        self.http.steps, self.http.requests, self.http.models, self.http.key = [], [], ["eyes"], ""
        self.http.stopping, self.http.lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.stopping.set()
        self.http.shutdown()
        self.http.server_close()
        self._thread.join(5)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    @property
    def requests(self) -> list[Request]:
        return self.http.requests

    def will(self, *steps: Step) -> None:
        self.http.steps.extend(steps)


def say(
    text: str | Sequence[str] = "", *, calls: Sequence[dict[str, Any]] = (), finish: str | None = None, usage: int | None = None,
    pace_s: float = 0.0,
) -> Step:  # fmt: skip
    """Stream `text` (its pieces) and tool calls {"name", "arguments"}, arguments in two pieces, as good servers do."""

    def step(handler: Handler) -> None:
        handler.begin()
        handler.event({"role": "assistant", "content": ""})
        for piece in [text] if isinstance(text, str) else text:
            if piece:
                handler.event({"content": piece})
                handler.wait(pace_s)
        for index, call in enumerate(calls):
            arguments = call["arguments"] if isinstance(call["arguments"], str) else json.dumps(call["arguments"])
            half = len(arguments) // 2
            head = {"index": index, "id": f"id{index}", "type": "function"}
            handler.event({"tool_calls": [{**head, "function": {"name": call["name"], "arguments": arguments[:half]}}]})
            handler.event({"tool_calls": [{"index": index, "function": {"arguments": arguments[half:]}}]})
        handler.event({}, finish=finish or ("tool_calls" if calls else "stop"))
        if usage is not None:
            numbers = {"prompt_tokens": 7, "completion_tokens": usage, "total_tokens": 7 + usage}
            handler.send(f"data: {json.dumps({'id': 'c', 'model': 'eyes', 'choices': [], 'usage': numbers})}\n\n")
        handler.send("data: [DONE]\n\n")
        handler.end()

    return step


def deltas(*parts: dict[str, Any], finish: str | None = "stop", clean: bool = True) -> Step:
    """Stream deltas as they are; without `clean` the connection is reset after them."""

    def step(handler: Handler) -> None:
        handler.begin()
        for part in parts:
            handler.event(part)
        if not clean:
            time.sleep(0.05)
            return handler.drop()
        if finish:
            handler.event({}, finish=finish)
            handler.send("data: [DONE]\n\n")
        handler.end()
        return None

    return step


def lines(*sent: str, content_type: str = "text/event-stream") -> Step:
    """Send a body as it is."""

    def step(handler: Handler) -> None:
        handler.begin(content_type)
        for line in sent:
            handler.send(line)
        handler.end()

    return step


def status(code: int, message: str = "", **headers: str) -> Step:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.answer(code, {"error": {"message": message}}, sent)


def reset(handler: Handler) -> None:
    """Hang up before any answer."""
    handler.drop()


def silent(seconds: float, *, after: Sequence[str] = (), pings: bool = False, headers: bool = True) -> Step:
    """Say nothing more for some seconds; comments of the event stream may go on."""

    def step(handler: Handler) -> None:
        if headers:
            handler.begin()
        for piece in after:
            handler.event({"role": "assistant", "content": piece})
        until = time.monotonic() + seconds
        while time.monotonic() < until and not handler.server.stopping.is_set():
            if pings and headers:
                handler.send(": ping\n\n")
            handler.wait(0.05)

    return step
