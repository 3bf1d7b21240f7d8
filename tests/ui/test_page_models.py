"""The model switch in a real browser: a tier is chosen, answers, says its name, and is still there after a reload and a restart."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from browsing import CHROMIUM, Server, Visit, free_port
from test_page_samples import click_example

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.is_file(), reason="chromium is not installed at /usr/bin/chromium"),
]
TRUE = "A spike in `vibration` starts at 2026-03-07 10:20:00 [E2]."
SEEN = "In the picture the line looks jagged [E2]."
FAR = "endpoint:eyes@http://gpu.example.org:8000"


def start(home: Path, model: str, *more: str) -> Server:
    port = free_port()
    return Server([sys.executable, "-m", "ui.cli", "ui", "--port", str(port), "--model", model, *more], home, port)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def script(folder: Path) -> str:
    path = folder / "replies.yaml"
    path.write_text(yaml.safe_dump({"replies": [{"text": f"{TRUE} {SEEN}", "repeat": True}]}))
    return f"scripted:{path}"


@pytest.fixture(scope="module")
def server(folder: Path, script: str) -> Iterator[Server]:
    made = start(folder / "home", script)
    yield made
    made.stop()


def choose(visit: Visit, model: str) -> None:
    page = visit.page
    if page.locator("#tt-pick").count() == 0 or not page.locator("#tt-pick").is_visible():
        page.locator("#tt-models > button").click()
    page.locator("#tt-pick label", has_text=model).click()
    page.wait_for_selector(".tt-said")


def in_use(visit: Visit, model: str) -> None:
    visit.page.wait_for_function("m => document.querySelector('#tt-models > button').innerText.includes(m)", arg=model)


def test_a_chosen_tier_answers_and_is_kept(server: Server, folder: Path, script: str, browser):  # type: ignore[no-untyped-def]
    with Visit(browser, server.url) as visit:
        page = visit.page
        in_use(visit, script)
        choose(visit, "embedded")
        in_use(visit, "embedded")
        click_example(visit, "pump")
        assert page.locator(".tt-writer").count() == 0
        assert "flatline" in page.inner_text(".tt-answer")
        choose(visit, script)
        in_use(visit, script)
        assert script in page.inner_text(".tt-said")
        visit.ask("what is wrong here?")
        assert page.locator(".tt-answer").last.inner_text().startswith("A spike in vibration starts at 2026-03-07 10:20:00")
        assert script in page.inner_text(".tt-writer")
        assert "not measured" in page.inner_text(".tt-view b")
        assert "jagged" in page.inner_text(".tt-view")
        assert "jagged" not in page.locator(".tt-answer").last.inner_text()
        assert not page.locator("#tt-pick").is_visible()
        page.reload()
        page.wait_for_selector(".tt-writer")
        in_use(visit, script)
        query = page.url.split("?")[1]
        assert visit.outside == []
    again = start(folder / "home", "embedded")
    try:
        with Visit(browser, again.url) as visit:
            in_use(visit, "embedded")
            visit.page.goto(f"{again.url}?{query}")
            visit.page.wait_for_selector(".tt-writer")
            in_use(visit, "embedded")  # a script is only ever read when it was named on the command line
    finally:
        again.stop()


def test_an_endpoint_is_typed_its_warning_read_and_a_wrong_text_changes_nothing(server: Server, script: str, browser):  # type: ignore[no-untyped-def]
    with Visit(browser, server.url, width=375, height=812) as visit:
        page = visit.page
        page.locator("#tt-models > button").click()
        typed = page.get_by_role("textbox", name="A model behind a server")
        for wrong, said in (
            ("endpoint:eyes@ftp://x", "expected an address"),
            ("endpoint:eyes@http://ann:secret@x", "must hold no user"),
            ("gpt-4", "Unknown model tier 'gpt-4'"),
            ("local:no-such-model", "Unknown model 'no-such-model'"),
            ("scripted:/etc/passwd", "only taken from the command line"),
        ):
            typed.fill(wrong)
            typed.press("Enter")
            page.wait_for_function("s => document.querySelector('.tt-alert')?.innerText.includes(s)", arg=said)
            in_use(visit, script)
            assert page.locator(".tt-warning").count() == 0
        typed.fill(FAR)
        page.locator("#tt-use").click()
        page.wait_for_selector(".tt-warning")
        in_use(visit, "gpu.example.org")
        assert "are sent to gpu.example.org, unencrypted" in page.inner_text(".tt-warning")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        visit.ask("hello")
        assert page.locator(".tt-warning").is_visible()
        page.reload()
        page.wait_for_selector(".tt-answer")
        in_use(visit, "gpu.example.org")
        assert page.locator(".tt-warning").is_visible()
        choose(visit, "embedded")
        in_use(visit, "embedded")
        page.wait_for_selector(".tt-warning", state="detached")


def test_visitors_who_sign_in_cannot_name_an_address(folder: Path, browser):  # type: ignore[no-untyped-def]
    made = start(folder / "other", "endpoint:eyes@http://127.0.0.1:9", "--auth", "ann:secret")
    try:
        context = browser.new_context()
        page = context.new_page()
        page.goto(made.url)
        page.get_by_label("username", exact=False).fill("ann")
        page.get_by_label("password", exact=False).fill("secret")
        page.get_by_role("button", name="Login").click()
        page.wait_for_selector(".tt-model")
        page.locator("#tt-models > button").click()
        page.locator("#tt-pick label").nth(1).wait_for()
        assert page.locator("#tt-pick label").all_inner_texts() == [
            "embedded – fixed rules, no language model",
            "endpoint:eyes@http://127.0.0.1:9/v1 – on this machine",
        ]
        assert page.locator("#tt-typed").count() == 0
        context.close()
    finally:
        made.stop()
