"""A page server in a process of its own, and visits to it in a real browser."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Server:
    """The page in a process of its own, with its own home."""

    def __init__(self, command: list[str], home: Path, port: int, **more: str) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.log = (home.parent / "server.log").open("w+")
        started = time.monotonic()
        env = {**os.environ, "TELLTALE_HOME": str(home), "PYTHONPATH": str(ROOT), **more}
        self.process = subprocess.Popen(command, env=env, cwd=home.parent, stdout=self.log, stderr=subprocess.STDOUT)
        while time.monotonic() < started + 60:
            try:
                urllib.request.urlopen(self.url, timeout=2).read()
                break
            except urllib.error.HTTPError:  # up, but wants a sign-in
                break
            except OSError:
                assert self.process.poll() is None, self.said()
                time.sleep(0.05)
        self.seconds_to_page = time.monotonic() - started

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Visit:
    """A page with its own browser profile, and what it asked for and complained about."""

    def __init__(self, browser, url: str, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:  # type: ignore[no-untyped-def]
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)  # the machine may be busy
        self.outside: list[str] = []
        self.page.on("request", self._note)
        self.url = url
        self.page.goto(url)
        self.page.wait_for_selector(".tt-model")

    def _note(self, request) -> None:  # type: ignore[no-untyped-def]
        if not request.url.startswith((self.url, "data:", "blob:", "about:", "chrome")):
            self.outside.append(request.url)

    def ask(self, question: str, *files: Path) -> None:
        answers = self.page.locator(".tt-answer").count()
        if files:
            self.page.set_input_files("#tt-box input[type=file]", [str(file) for file in files])
            self.page.wait_for_function("n => document.querySelectorAll('#tt-box .thumbnail-item, #tt-box .thumbnail-wrapper').length >= n", arg=len(files))  # fmt: skip # noqa: E501
        self.page.fill("#tt-box textarea", question)
        self.page.keyboard.press("Enter")
        self.page.wait_for_function("n => document.querySelectorAll('.tt-answer').length > n", arg=answers)
        self.page.wait_for_selector("#tt-box .submit-button", timeout=180_000)

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()
