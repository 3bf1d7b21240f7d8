"""The page in a real browser: upload, ask, see heatmaps and curve, follow up, reload; bad files; phone width; no outside requests."""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import CHROMIUM, ROOT, Server, Visit, free_port
from PIL import Image

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.is_file(), reason="chromium is not installed at /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("page")
    port = free_port()
    made = Server(
        [sys.executable, str(Path(__file__).parent / "scripted.py"), str(folder), str(port), "0.02"], folder / "home", port
    )
    yield made
    made.stop()


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = []
    for name in ("plate.png", "ok & fine.png"):
        Image.effect_noise((64, 48), 40).convert("RGB").save(tmp_path / name)
        paths.append(tmp_path / name)
    return paths


def test_upload_ask_see_follow_up_reload_resume(server: Server, browser, photos: list[Path]):  # type: ignore[no-untyped-def]
    with Visit(browser, server.url) as visit:
        page = visit.page
        visit.ask("Which of these are broken?", *photos)
        assert "Critical" in page.inner_text(".tt-verdict")
        page.wait_for_selector(".js-plotly-plot .scatterlayer path.js-line")
        for picture in page.query_selector_all(".tt-photo img, .tt-frame img"):
            picture.scroll_into_view_if_needed()
            page.wait_for_function("e => e.complete && e.naturalWidth > 0", arg=picture)
        assert page.locator(".tt-photo img").count() == 3
        assert page.locator(".tt-frame img").count() == 3
        assert page.evaluate("window.hacked") is None
        page.locator("a.tt-cite").first.click()
        assert page.locator("tr.tt-hit").inner_text().startswith("E1")
        page.locator(".tt-photo button").first.click()
        page.wait_for_selector("dialog.tt-dialog img")
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog.tt-dialog", state="detached")
        visit.ask("And when was the peak?")
        assert "0:44" in page.locator(".tt-answer").last.inner_text()
        assert re.search(r"\?thread=\w+$", page.url)
        page.reload()
        page.wait_for_function("document.querySelectorAll('.tt-answer').length == 2")
        assert page.locator(".tt-question").first.inner_text() == "Which of these are broken?"
        page.wait_for_selector("#tt-chats label.selected")
        page.locator("#tt-new").click()
        page.wait_for_selector(".tt-hello")
        assert "thread=" not in page.url
        page.locator("#tt-chats label").first.click()
        page.wait_for_function("document.querySelectorAll('.tt-answer').length == 2")
        assert visit.outside == []


def test_controls_have_names_and_a_suggestion_is_asked_with_one_click(server: Server, browser, photos: list[Path]):  # type: ignore[no-untyped-def]
    with Visit(browser, server.url) as visit:
        visit.ask("broken?", photos[0])
        page = visit.page
        assert page.evaluate("[...document.querySelectorAll('.tt-grid img, .tt-strip img')].filter(e => !e.alt).length") == 0
        assert page.get_by_role("button", name="New chat").count() == 1
        assert page.get_by_role("textbox", name="Your question").count() == 1
        assert page.get_by_role("button", name=re.compile("^Enlarge: ")).count() == 6
        page.locator("#tt-chat .option", has_text="Where exactly?").click()
        page.wait_for_function("document.querySelectorAll('.tt-question').length == 2")
        assert page.locator(".tt-question").last.inner_text() == "Where exactly?"


def test_another_browser_does_not_list_the_chat(server: Server, browser, photos: list[Path]):  # type: ignore[no-untyped-def]
    with Visit(browser, server.url) as mine, Visit(browser, server.url) as other:
        mine.ask("a question of mine alone", photos[0])
        mine.page.wait_for_selector("#tt-chats label.selected")
        other.page.reload()
        other.page.wait_for_selector(".tt-model")
        assert "a question of mine alone" not in other.page.content()


def test_a_bad_file_is_one_sentence_and_the_chat_goes_on(server: Server, browser, photos: list[Path], tmp_path: Path):  # type: ignore[no-untyped-def]
    empty = tmp_path / "leer – 空 ' & .png"
    empty.write_bytes(b"")
    with Visit(browser, server.url) as visit:
        visit.ask("broken?", photos[0], empty)
        assert visit.page.locator(".tt-refused li").count() == 1
        assert "is empty" in visit.page.inner_text(".tt-refused")
        visit.ask("crash")
        assert "Something went wrong" in visit.page.locator(".tt-answer").last.inner_text()
        visit.ask("and when?")
        assert "0:44" in visit.page.locator(".tt-answer").last.inner_text()


def test_a_phone_needs_no_sideways_scrolling(server: Server, browser, photos: list[Path]):  # type: ignore[no-untyped-def]
    with Visit(browser, server.url, width=375, height=812, dark=True) as visit:
        visit.ask("broken?", *photos)
        visit.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        visit.page.wait_for_selector(".js-plotly-plot")
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 375
        wide = visit.page.evaluate(
            "[...document.querySelectorAll('#tt-chat .message-wrap > * *')].filter(e => e.getBoundingClientRect().right > 376"
            " && !e.closest('.tt-strip, .tt-scroll, .js-plotly-plot, .tt-answer pre')).map(e => e.className)"
        )
        assert wide == []
        box = visit.page.locator("#tt-box").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 812


def test_the_first_page_fits_a_phone(server: Server, browser):  # type: ignore[no-untyped-def]
    with Visit(browser, server.url, width=390, height=844) as visit:
        visit.page.wait_for_selector("#tt-chat .example")
        edges = visit.page.evaluate(
            "[...document.querySelectorAll('#tt-chat .example')].map(e => e.getBoundingClientRect())"
            ".flatMap(b => [Math.round(b.left), Math.round(b.right)])"
        )
        assert len(edges) == 8
        assert min(edges) >= 12
        assert max(edges) <= 390 - 12
        cut = "[...document.querySelectorAll('#tt-chat .example, #tt-chat .example *')].filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display != 'inline').length"  # noqa: E501
        assert visit.page.evaluate(cut) == 0


def test_going_elsewhere_while_a_turn_runs(server: Server, browser, photos: list[Path]):  # type: ignore[no-untyped-def]
    with Visit(browser, server.url) as visit:
        page = visit.page
        visit.ask("an earlier chat", photos[0])
        page.locator("#tt-new").click()
        page.wait_for_selector(".tt-hello")
        page.fill("#tt-box textarea", "look slowly")
        page.keyboard.press("Enter")
        page.wait_for_selector("#tt-box .stop-button")
        running = page.locator("#tt-chats label", has_text="look slowly")
        running.wait_for()
        page.locator("#tt-new").click()
        page.wait_for_selector(".tt-hello")
        for _ in range(5):  # the turn reports twenty times in eight seconds; none of that may show here
            page.wait_for_timeout(200)
            assert page.locator(".tt-question").count() == 0
        page.locator("#tt-chats label", has_text="an earlier chat").click()
        page.wait_for_function("document.querySelector('.tt-question')?.innerText == 'an earlier chat'")
        page.wait_for_timeout(600)
        assert page.locator(".tt-question").all_inner_texts() == ["an earlier chat"]
        running.click()
        page.wait_for_function("document.querySelector('.tt-question')?.innerText == 'look slowly'")
        page.wait_for_selector("#tt-box .stop-button")
        assert page.locator(".tt-answer").count() == 0
        page.wait_for_selector(".tt-answer")
        page.wait_for_selector("#tt-box .submit-button")


def test_stop_is_answered_at_once(server: Server, browser, photos: list[Path]):  # type: ignore[no-untyped-def]
    with Visit(browser, server.url) as visit:
        page = visit.page
        page.fill("#tt-box textarea", "look slowly")
        page.keyboard.press("Enter")
        page.locator("#tt-box .stop-button").click()
        page.wait_for_selector(".tt-answer", timeout=4_000)
        assert page.inner_text(".tt-answer").startswith("Stopped")


def test_a_report_is_named_and_belongs_to_its_chat(server: Server, browser, photos: list[Path]):  # type: ignore[no-untyped-def]
    with Visit(browser, server.url, width=390, height=844) as visit:
        page = visit.page
        visit.ask("broken?", photos[0])
        page.locator("#tt-side .toggle-button").click()
        page.locator("#tt-report").click()
        link = page.locator("#tt-report-file")
        link.wait_for()
        with page.expect_download() as download:
            link.click()
        assert download.value.suggested_filename in link.inner_text()
        page.locator("#tt-new").click()
        page.wait_for_selector("#tt-side:not(.open)")  # it would lie over the new chat
        page.wait_for_selector(".tt-hello")
        assert link.count() == 0 or not link.is_visible()


def test_files_outside_the_page_are_not_served(server: Server):
    for path in ("/etc/passwd", str(ROOT / "pyproject.toml"), str(Path(server.log.name))):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{server.url}gradio_api/file={path}")
        assert refused.value.code in (403, 404)


def post(url: str, body: bytes, kind: str, cookie: str = "") -> tuple[int, str]:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": kind, "Cookie": cookie})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            cookies = answer.headers.get_all("Set-Cookie") or []
            return answer.status, "; ".join(line.split(";")[0] for line in cookies)
    except urllib.error.HTTPError as error:
        return error.code, ""


def upload(server: Server, size: int, cookie: str) -> int:
    head = b'--XX\r\nContent-Disposition: form-data; name="files"; filename="a.bin"\r\nContent-Type: application/octet-stream\r\n\r\n'
    body = head + b"x" * size + b"\r\n--XX--\r\n"
    return post(f"{server.url}gradio_api/upload", body, "multipart/form-data; boundary=XX", cookie)[0]


def test_a_sign_in_is_required_and_uploads_are_limited(tmp_path: Path):
    port = free_port()
    command = [sys.executable, str(Path(__file__).parent / "scripted.py"), str(tmp_path), str(port), "0", "ann:secret"]
    server = Server(command, tmp_path / "home", port, TELLTALE_MAX_FILE_BYTES="100000")
    form = "application/x-www-form-urlencoded"
    try:
        assert upload(server, 10, "") == 401
        assert post(f"{server.url}login", b"username=ann&password=wrong", form)[0] == 400
        status, cookie = post(f"{server.url}login", b"username=ann&password=secret", form)
        assert status == 200
        assert upload(server, 10, cookie) == 200
        assert upload(server, 200_000, cookie) == 413
    finally:
        server.stop()
