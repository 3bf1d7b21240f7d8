"""A reply as safe HTML fragments, for the page and for reports: verdict, answer, pictures, evidence, how it was found.

Everything that comes from files, people or models is escaped here. Answers are Markdown, but links, pictures and raw HTML in
them stay plain text, so that nothing quoted from a file can load something from outside. Evidence ids like [E3] become links
to the row of the evidence table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, TypeAlias

from agent.accounts.account import Account
from agent.curves import time_text
from agent.reply import Panel, Reply
from core.evidence import SEVERITY_NAMES, Anomaly, EventRows, Evidence, Interval, Locus, Path, Region

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

Link: TypeAlias = Callable[[str], str | None]
"""From a picture's path to the address it can be shown at (a URL or a data URI), None when it is gone."""

_WORDS = re.compile(r"\w+")
_CITATION = re.compile(r"\[(E\d+(?:\s*,\s*E\d+)*)\]")
_TEMPLATES = FilePath(__file__).parent / "templates"


@cache
def environment() -> Environment:
    """The jinja2 environment of the fragments: autoescape on, missing names are errors."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.globals.update(severity_name=lambda level: SEVERITY_NAMES[level])
    found.filters.update(number=number_text, p_value=p_text, seconds=seconds_text)
    return found


def stylesheet() -> str:
    """The CSS the fragments need."""
    return (_TEMPLATES / "reply.css").read_text(encoding="utf-8")


def answer_html(markdown: str, *, key: str, known: Iterable[str] = ()) -> str:
    """Render an answer's Markdown without links, pictures or raw HTML; [E3] links to row E3 of turn `key` when it is `known`.

    >>> print(answer_html("**Odd** [E1] ![x](http://evil/p.png) <img src=y>", key="t1", known=["E1"]))
    <p><strong>Odd</strong> <a class="tt-cite" href="#ev-t1-E1">E1</a> ![x](http://evil/p.png) &lt;img src=y&gt;</p>
    """
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.disable(["image", "link", "autolink", "html_inline", "html_block", "reference"])
    ids = set(known)

    def chips(text: str) -> list[Token]:
        found: list[Token] = []
        end = 0
        for match in _CITATION.finditer(text):
            names = [name.strip() for name in match[1].split(",")]
            if not ids.issuperset(names):
                continue
            found.append(Token("text", "", 0, content=text[end : match.start()]))
            links = " ".join(f'<a class="tt-cite" href="#ev-{key}-{name}">{name}</a>' for name in names)
            found.append(Token("html_inline", "", 0, content=links))
            end = match.end()
        found.append(Token("text", "", 0, content=text[end:]))
        return found

    tokens = parser.parse(markdown)
    for token in tokens:
        if token.children:
            token.children = [new for old in token.children for new in (chips(old.content) if old.type == "text" else [old])]
    return str(parser.renderer.render(tokens, parser.options, {})).strip()


def verdict_html(reply: Reply) -> str:
    """One line: how bad, how many, how sure. An all-clear in green needs normal references; "" when nothing was judged."""
    worst = max(reply.anomalies, key=lambda a: (a.severity, a.severity_score), default=None)
    return _render("verdict", reply=reply, worst=worst, calibrated=any(item.calibrated for item in reply.evidence))


def pictures_html(reply: Reply, *, key: str, link: Link) -> str:
    """Pictures of a reply: heatmaps and photos as a grid, plots of sensors wider, graphs at their size, keyframes as a strip in time
    order, clips to play and save; or "".
    """
    shown = [(_titled(panel, reply), link(panel.path)) for panel in reply.panels if panel.path is not None]
    found = [(panel, url) for panel, url in shown if url is not None]
    drawn = {item.id for item in reply.evidence if isinstance(item.locus, Interval)}
    plots = [pair for pair in found if pair[0].kind == "picture" and pair[0].evidence in drawn]
    grid = [pair for pair in found if pair[0].kind in ("heatmap", "picture") and pair not in plots]
    strip = [pair for pair in found if pair[0].kind == "keyframe"]
    graphs = [pair for pair in found if pair[0].kind == "graph"]
    clips = [pair for pair in found if pair[0].kind == "clip"]
    return _render("pictures", grid=grid, plots=plots, strip=strip, graphs=graphs, clips=clips, key=key) if found else ""


def _titled(panel: Panel, reply: Reply) -> Panel:
    """A plain picture of a finding is called what the finding is, and when; a detector's name says nothing to people."""
    if panel.kind != "picture" or panel.evidence is None:
        return panel
    found = next((anomaly for anomaly in reply.anomalies if panel.evidence == anomaly.evidence[0]), None)
    if found is None:
        return panel
    base = time_bases(reply.panels).get(found.source, ("s", None))
    times = [_span(locus, *base) for locus in found.loci if isinstance(locus, Interval)]
    return replace(panel, caption=", ".join([f"{found.source}: {found.label}", *times[:1]]))


def _span(locus: Interval, unit: str, epoch_s: float | None) -> str:
    """From when to when, in short: a day is said once."""
    start, end = time_text(locus.start_s, unit, epoch_s), time_text(locus.end_s, unit, epoch_s)
    return f"{start}–{end[11:] if unit == 'clock' and end[:10] == start[:10] else end}"


def tables_html(panels: Sequence[Panel], *, limit: int = 50) -> str:
    """Table panels, each with its first `limit` rows."""
    tables = [panel for panel in panels if panel.kind == "table" and panel.data is not None]
    return _render("tables", tables=tables, limit=limit) if tables else ""


def evidence_html(reply: Reply, *, key: str, opened: bool = False) -> str:
    """The evidence table, the findings with their severity, and how they were found; "" when the reply rests on nothing."""
    refused = [(name, message) for name, message in reply.refused if not _told(message, reply.answer)]
    if not (reply.evidence or reply.tools or refused or reply.removed):
        return ""
    bases = time_bases(reply.panels)
    rows = [(item, locus_text(item.locus, *bases.get(item.source, ("s", None)))) for item in reply.evidence]
    accounts = {account.finding: _told_of(account, reply, key) for account in reply.accounts}
    findings = [(anomaly, where(anomaly, bases), accounts.get(anomaly.evidence[0], [])) for anomaly in reply.anomalies]
    return _render("evidence", reply=reply, rows=rows, findings=findings, refused=refused, key=key, opened=opened)


_PARTS = (("cause", "Before"), ("effect", "After"), ("innocent", "Possibly harmless"), ("insufficient", "Not shown"))
"""Parts of an account and what they are called beside a finding."""


def _told_of(account: Account, reply: Reply, key: str) -> list[tuple[str, Markup]]:
    """(what it is, sentences as HTML) of what an account tells around a finding."""
    from markupsafe import Markup

    known = [item.id for item in reply.evidence]
    parts = [(title, " ".join(statement.text for statement in getattr(account, part))) for part, title in _PARTS]
    return [(title, Markup(answer_html(text, key=key, known=known))) for title, text in parts if text]


def _told(message: str, answer: str) -> bool:
    """True when the answer already says why a file was not read (brackets and stars may have been replaced there).

    >>> _told("a [1].csv: the file is empty.", "_a (1).csv: the file is empty._ [E1]")
    True
    """
    return _WORDS.findall(message) != [] and " ".join(_WORDS.findall(message)) in " ".join(_WORDS.findall(answer))


def time_bases(panels: Sequence[Panel]) -> dict[str, tuple[str, float | None]]:
    """How each source counts time ("s", "step" or "clock", and the clock's zero), read from its curve."""
    return {
        panel.source: (str(panel.data.get("unit", "s")), panel.data.get("epoch_s"))
        for panel in panels
        if panel.kind == "curve" and panel.data is not None
    }


def where(anomaly: Anomaly, bases: dict[str, tuple[str, float | None]], limit: int = 3) -> str:
    """The places of an anomaly in words."""
    words = [locus_text(locus, *bases.get(anomaly.source, ("s", None))) for locus in anomaly.loci[:limit]]
    more = len(anomaly.loci) - limit
    return "; ".join(words) + (f"; and {more} more" if more > 0 else "")


def locus_text(locus: Locus, unit: str = "s", epoch_s: float | None = None) -> str:
    """Say a place in words.

    >>> locus_text(Interval(sample="v", start_s=12, end_s=15.5, peak_s=13))
    '0:12–0:15.5 (peak 0:13)'
    >>> locus_text(EventRows(sample="log", rows=(3, 4, 9)))
    'rows 3, 4, 9'
    """
    match locus:
        case Region(box=(x0, y0, x1, y1), area_share=share):
            return f"x {x0:.0f}–{x1:.0f}, y {y0:.0f}–{y1:.0f} px ({100 * share:.1f} % of the picture)"
        case Interval():
            start, end, peak = (time_text(t, unit, epoch_s) for t in (locus.start_s, locus.end_s, locus.peak_s))
            channels = f" in {_few(locus.channels)}" if locus.channels else ""
            return f"{start}–{end} (peak {peak}){channels}"
        case EventRows(rows=rows):
            return f"row{'s' if len(rows) != 1 else ''} {_few([str(row) for row in rows], 6)}"
        case Path(entities=entities):
            return _few(entities, 6, " → ")
        case _:
            return "all of it"


def _few(words: Sequence[str], limit: int = 4, between: str = ", ") -> str:
    more = len(words) - limit
    return between.join(words[:limit]) + (f" and {more} more" if more > 0 else "")


def number_text(value: float | None) -> str:
    """Three significant digits, "–" for nothing.

    >>> number_text(0.123456), number_text(1234.5), number_text(None)
    ('0.123', '1,234', '–')
    """
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def p_text(evidence: Evidence) -> str:
    """The p-value, marked with ≈ when it comes from the same input and not from normal references."""
    if evidence.p_value is None:
        return "–"
    mark = "" if evidence.calibrated else "≈ "
    return f"{mark}< 0.001" if evidence.p_value < 0.001 else f"{mark}{evidence.p_value:.3f}"


def seconds_text(seconds: float) -> str:
    """A duration: milliseconds below one second.

    >>> seconds_text(0.012), seconds_text(3.21)
    ('12 ms', '3.2 s')
    """
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _render(macro: str, **values: object) -> str:
    template = environment().get_template("reply.html.jinja")
    return str(getattr(template.module, macro)(**values)).strip()


__all__ = [
    "Link", "answer_html", "environment", "evidence_html", "locus_text", "number_text", "p_text", "pictures_html",
    "seconds_text", "stylesheet", "tables_html", "time_bases", "verdict_html", "where",
]  # fmt: skip
