"""The page with the real agent and the bundled samples: click an example, see its evidence, follow up, come back after a restart."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import CHROMIUM, Server, Visit, free_port

from ui.examples import examples

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.is_file(), reason="chromium is not installed at /usr/bin/chromium"),
]


def start(home: Path) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "ui.cli", "ui", "--port", str(port)]
    return Server(command, home, port)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("samples") / "home"


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    made = start(home)
    yield made
    made.stop()


def click_example(visit: Visit, word: str) -> None:
    title = next(example.title for example in examples() if word in example.title)
    visit.page.locator("#tt-chat .example", has_text=title).click()
    visit.page.wait_for_selector(".tt-evidence, .tt-details", timeout=180_000)


def test_photos_show_heatmaps(server: Server, browser):  # type: ignore[no-untyped-def]
    with Visit(browser, server.url) as visit:
        click_example(visit, "tiles")
        assert visit.page.locator(".tt-photo img").count() >= 1
        assert re.search(r"E\d+", visit.page.inner_text(".tt-answer"))
        assert visit.page.locator("a.tt-cite").count() >= 1
        assert visit.outside == []


def test_a_series_shows_its_curve_and_the_chat_survives_a_restart(server: Server, home: Path, browser):  # type: ignore[no-untyped-def]
    with Visit(browser, server.url) as visit:
        click_example(visit, "pump")
        visit.page.wait_for_selector(".js-plotly-plot .scatterlayer path.js-line")
        visit.ask("which sensor is to blame?")
        answers = visit.page.locator(".tt-answer").all_inner_texts()
        visit.page.wait_for_function("location.search.includes('thread=')")
        query = visit.page.url.split("?")[1]
    server.stop()
    again = start(home)
    try:
        with Visit(browser, again.url) as visit:
            visit.page.goto(f"{again.url}?{query}")
            visit.page.wait_for_function("n => document.querySelectorAll('.tt-answer').length == n", arg=len(answers))
            assert visit.page.locator(".tt-answer").all_inner_texts() == answers
    finally:
        again.stop()
