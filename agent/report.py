"""A chat as one self-contained HTML file: answers, pictures as data URIs, curves as SVG, every piece of evidence.

The file makes no request to anywhere (its content security policy forbids it), runs no script, and everything that came from
files, people or models is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Protocol

from agent.curves import curve_svg
from agent.reply import Reply
from agent.reply_html import answer_html, environment, evidence_html, pictures_html, stylesheet, tables_html, verdict_html

MAX_SIDE = 1400
"""Pictures are shrunk to this many pixels: sharp on paper, and a report of twenty stays below ten megabytes."""


class AnsweredTurn(Protocol):
    """What a report needs of a turn."""

    @property
    def question(self) -> str:
        """What was asked."""
        ...

    @property
    def files(self) -> Sequence[str]:
        """Names of the files that came with it."""
        ...

    @property
    def reply(self) -> Reply:
        """The checked answer."""
        ...


def report_html(turns: Sequence[AnsweredTurn], *, thread: str, title: str | None = None, made: datetime | None = None) -> str:
    """The report of `turns` as an HTML document.

    `title` defaults to the first question; `made` to now. Pictures that are gone are left out.

    >>> from types import SimpleNamespace
    >>> turn = SimpleNamespace(question="<b>odd?</b>", files=["a.png"], reply=Reply(answer="No.", status="normal"))
    >>> "&lt;b&gt;odd?&lt;/b&gt;" in report_html([turn], thread="t1")
    True
    """
    from markupsafe import Markup

    rendered = []
    for number, turn in enumerate(turns, start=1):
        reply, key = turn.reply, f"t{number}"
        curves = [panel for panel in reply.panels if panel.kind == "curve" and panel.data is not None]
        rendered.append(
            {
                "question": turn.question,
                "files": list(turn.files),
                "model": reply.model,
                "seconds": reply.seconds,
                "verdict": Markup(verdict_html(reply)),
                "answer": Markup(answer_html(reply.answer, key=key, known=[item.id for item in reply.evidence])),
                "pictures": Markup(pictures_html(reply, key=key, link=data_uri)),
                "curves": [(panel.caption, Markup(curve_svg(panel.data or {}, panel.caption))) for panel in curves],
                "tables": Markup(tables_html(reply.panels, limit=500)),
                "evidence": Markup(evidence_html(reply, key=key, opened=True)),
            }
        )
    css = stylesheet()
    dark = css.split(".dark {", 1)[1].split("}", 1)[0]
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            title=title or (turns[0].question if turns else "Empty chat"),
            thread=thread,
            made=(made or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
            turns=rendered,
            css=Markup(css),
            dark=Markup(dark),
        )
    )


def data_uri(path: str) -> str | None:
    """The picture at `path` as a data URI, at most MAX_SIDE pixels long; None when it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(Path(path)) as picture:
            picture.thumbnail((MAX_SIDE, MAX_SIDE))
            buffer = BytesIO()
            picture.convert("RGB").save(buffer, "JPEG", quality=88)
    except (OSError, UnidentifiedImageError, ValueError):
        return None
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
