"""Start and stop the web page: loopback unless told otherwise, nothing shared, no request to anywhere, limits on uploads."""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

from core.errors import BadInput
from core.settings import home, limits
from models.chat.tiers import Tier
from ui.chats import Backend, Chats, agent_backend
from ui.offer import Offer

log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_STATIC = Path(__file__).parent / "static"


def serve(
    *, host: str = "127.0.0.1", port: int = 7860, auth: str | None = None, model: str = "embedded",
    backend: Backend | None = None, warm: bool = True,
) -> None:  # fmt: skip
    """Start the page and stay until interrupted.

    `auth` is "user:password" (several with commas). `backend` replaces the agent (tests). `warm` loads the embedded models in
    the background once the page is up.

    Raises:
        UserError: `auth` is malformed, there is no such model tier, or the port is taken.
    """
    people = parse_auth(auth)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(home() / "page" / "files")
    (home() / "page" / "files").mkdir(parents=True, exist_ok=True)
    strict = bool(people) or host not in LOOPBACK
    chats = Chats(backend or agent_backend(), home(), Offer(given=model, strict=strict))
    from ui.app import Page

    demo = Page(chats, strict=strict).build()
    try:
        demo.launch(
            server_name=host, server_port=port, auth=people or None, share=False, prevent_thread_lock=True, quiet=True,
            show_error=False, allowed_paths=[], max_file_size=limits().max_file_bytes, footer_links=[], ssr_mode=False,
            theme=_theme(), css=_stylesheet(), js=(_STATIC / "page.js").read_text(encoding="utf-8"), enable_monitoring=False,
        )  # fmt: skip
    except OSError as error:
        raise BadInput(f"Port {port} on {host} cannot be used ({error}). Choose another with --port.") from error
    print(f"Telltale is at http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port} — stop it with Ctrl+C", flush=True)
    if warning := Tier.parse(model).warning():
        print(f"telltale: {warning}", file=sys.stderr, flush=True)
    if warm:
        threading.Thread(target=warm_up, name="telltale-warm-up", daemon=True).start()
    try:
        demo.block_thread()
    finally:
        chats.close()


def parse_auth(text: str | None) -> list[tuple[str, str]]:
    """Turn "ann:pw,bob:pw2" into pairs.

    >>> parse_auth("ann:a:b")
    [('ann', 'a:b')]
    """
    pairs = []
    for part in (text or "").split(",") if text else []:
        user, colon, password = part.partition(":")
        if not (user and colon and password):
            raise BadInput("--auth: expected user:password (several separated by commas).")
        pairs.append((user, password))
    return pairs


def warm_up() -> None:
    """Load what the first question needs, so that it need not wait; a failure here is only logged."""
    try:
        import agent.session  # noqa: F401
        from models.text import embed

        embed(["what is wrong here?"])
        import numpy as np

        from models.patches import PatchEncoder

        PatchEncoder().encode([np.zeros((64, 64, 3), np.uint8)])
    except Exception:  # warming up is a courtesy: the first question would report the same problem in words
        log.exception("warming up failed")


def _stylesheet() -> str:
    from agent.reply_html import stylesheet

    return stylesheet() + (_STATIC / "page.css").read_text(encoding="utf-8")


def _theme() -> Any:
    import gradio as gr

    fonts = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
    mono = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
    return gr.themes.Base(primary_hue="teal", neutral_hue="slate", font=fonts, font_mono=mono, radius_size="lg")
