"""From the events of a turn to chat bubbles: pure functions, no server, no gradio.

`fold` adds one event to a view; `bubbles` says what a view looks like. A bubble's parts are HTML (already escaped), a curve
panel to be plotted, or a plain-text user message; `ui.app` turns them into gradio's messages.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from agent.reply import Panel, Progress, Reply, StepDone, StepStarted, TextDelta, TurnEvent
from agent.reply_html import Link, answer_html, evidence_html, pictures_html, seconds_text, tables_html, verdict_html


@dataclass(frozen=True, kw_only=True)
class Step:
    """A visible step: `note` is its progress while pending and its outcome afterwards."""

    key: str
    title: str
    state: Literal["pending", "done", "failed"] = "pending"
    seconds: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class TurnView:
    """Everything seen of one turn so far; complete when `reply` is there."""

    question: str
    files: tuple[str, ...] = ()
    normal: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    text: str = ""
    reply: Reply | None = None
    automatic: bool = False
    """Nobody asked this: the page reads on after a first look at a long video. A question ends it, and it goes on afterwards."""
    stopping: bool = False
    """Somebody pressed stop, and the work has not yet reached a point where it can end."""


@dataclass(frozen=True, kw_only=True)
class Html:
    """Safe HTML."""

    html: str


Part: TypeAlias = Html | Panel


@dataclass(frozen=True, kw_only=True)
class Bubble:
    """One message of the chat; with a `title` it is a foldable step (`status` pending or done)."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...] = ()
    title: str | None = None
    status: Literal["pending", "done"] | None = None
    seconds: float | None = None
    log: str = ""
    key: str | None = None
    parent: str | None = None
    options: tuple[str, ...] = field(default=())


def fold(view: TurnView, event: TurnEvent) -> TurnView:
    """The view after one more event.

    >>> view = TurnView(question="?")
    >>> for event in (StepStarted(key="a", title="Read 2 files"), Progress(key="a", what="files", done=1, total=2)):
    ...     view = fold(view, event)
    >>> view.steps[0].note
    '1 of 2 files'
    """
    match event:
        case StepStarted(key=key, title=title):
            return _with_step(view, Step(key=key, title=title))
        case Progress(key=key):
            known = next((step for step in view.steps if step.key == key), None)
            if known is None or known.state != "pending":
                return view
            return _with_step(view, replace(known, note=progress_text(event)))
        case StepDone(key=key, title=title, seconds=seconds, detail=detail, ok=ok):
            state: Literal["done", "failed"] = "done" if ok else "failed"
            return _with_step(view, Step(key=key, title=title, state=state, seconds=seconds, note=detail))
        case TextDelta(text=text):
            return replace(view, text=view.text + text)
        case Reply():
            # A reply ends every step: one that never reported its end (a failed tool) must not spin for ever.
            steps = tuple(replace(step, state="done") if step.state == "pending" else step for step in view.steps)
            return replace(view, reply=event, text=event.answer, steps=steps)
    return view


def fold_all(view: TurnView, events: Iterable[TurnEvent]) -> TurnView:
    """The view after `events`."""
    for event in events:
        view = fold(view, event)
    return view


def progress_text(event: Progress) -> str:
    """One line for a progress event."""
    if event.total <= 0:
        return f"{event.done:,} {event.what}"
    return f"{event.done:,} of {event.total:,} {event.what}"


def bubbles(view: TurnView, *, key: str, link: Link, last: bool = True) -> list[Bubble]:
    """What a turn looks like: the question, its steps, the answer with its evidence.

    `key` is unique to the turn in its chat; `link` gives the address of a picture; `last` offers the follow-up suggestions.
    """
    shown = [Bubble(role="user", parts=(Html(html=question_html(view)),))]
    shown += _step_bubbles(view, key)
    reply = view.reply
    if reply is None:
        if view.text:
            shown.append(Bubble(role="assistant", parts=(Html(html=_answer(view.text, key, ())),)))
        return shown
    known = [item.id for item in reply.evidence]
    parts: list[Part] = [Html(html=verdict_html(reply) + reply_html(reply, key=key, known=known))]
    pictures = pictures_html(reply, key=key, link=link)
    parts += [Html(html=pictures)] if pictures else []
    parts += [panel for panel in reply.panels if panel.kind == "curve" and panel.data is not None]
    rest = tables_html(reply.panels) + evidence_html(reply, key=key)
    parts += [Html(html=rest)] if rest else []
    shown.append(Bubble(role="assistant", parts=tuple(parts), options=reply.suggestions[:4] if last else ()))
    return shown


def question_html(view: TurnView) -> str:
    """The question and the names of what came with it, escaped."""
    names = "".join(f'<span class="tt-file">{html.escape(name)}</span>' for name in view.files[:8])
    more = len(view.files) - 8
    names += f'<span class="tt-file">and {more} more</span>' if more > 0 else ""
    if view.normal:
        words = view.normal[0] if len(view.normal) == 1 else f"{len(view.normal)} files"
        names += f'<span class="tt-file tt-normal">normal: {html.escape(words)}</span>'
    files = f'<div class="tt-files">{names}</div>' if names else ""
    return f'<div class="tt-question">{html.escape(view.question)}</div>{files}'


def reply_html(reply: Reply, *, key: str, known: Sequence[str]) -> str:
    """The answer; when a language model wrote it, its name, and what it believes to see set apart from what was measured."""
    if reply.model in (Reply.model, ""):
        return _answer(reply.answer, key, known)
    from agent.narration.narrator import VIEW_MARK  # not before a model has spoken: the page starts without what it needs

    *lines, last = reply.answer.rstrip().split("\n")
    view = ""
    if last.startswith(f"_{VIEW_MARK}") and last.endswith("_"):
        said = answer_html(last.removeprefix(f"_{VIEW_MARK}").removesuffix("_").strip(), key=key, known=known)
        view = f'<aside class="tt-view"><b>{VIEW_MARK}</b>{said}</aside>'
    answer = _answer("\n".join(lines) if view else reply.answer, key, known)
    writer = f"Written by <b>{html.escape(reply.model)}</b>, checked against the evidence."
    return f'{answer}{view}<p class="tt-writer tt-muted">{writer}</p>'


def _answer(text: str, key: str, known: Sequence[str]) -> str:
    return f'<div class="tt-answer">{answer_html(text, key=key, known=known)}</div>'


def _step_bubbles(view: TurnView, key: str) -> list[Bubble]:
    """One foldable line for the whole work, with a line per step inside."""
    working = view.reply is None
    if not view.steps:
        title = "Stopping…" if view.stopping else "Starting"
        return [] if not working or view.text else [Bubble(role="assistant", title=title, status="pending", key=key)]
    failed = [step for step in view.steps if step.state == "failed"]
    if working:
        current = next((step for step in reversed(view.steps) if step.state == "pending"), view.steps[-1])
        title, log, seconds = current.title, current.note, None
        if view.stopping:
            title, log = "Stopping…", "ends at the next step"
    else:
        seconds = view.reply.seconds if view.reply is not None else None
        title = f"{len(view.steps)} steps" if len(view.steps) != 1 else view.steps[0].title
        log = f"{len(failed)} failed" if failed else ""
    lines = "".join(_step_line(step) for step in view.steps)
    inside = Html(html=f'<ul class="tt-steps">{lines}</ul>')
    return [
        Bubble(
            role="assistant",
            parts=(inside,),
            title=title,
            status="pending" if working else "done",
            seconds=seconds,
            log=log,
            key=key,
        )
    ]


def _step_line(step: Step) -> str:
    mark = {"pending": "…", "done": "✓", "failed": "✕"}[step.state]
    seconds = f"<span>{seconds_text(step.seconds)}</span>" if step.seconds is not None else ""
    note = f"<em>{html.escape(step.note)}</em>" if step.note else ""
    return f'<li class="tt-step tt-{step.state}"><b aria-hidden="true">{mark}</b> {html.escape(step.title)} {seconds}{note}</li>'


def _with_step(view: TurnView, step: Step) -> TurnView:
    if any(known.key == step.key for known in view.steps):
        return replace(view, steps=tuple(step if known.key == step.key else known for known in view.steps))
    return replace(view, steps=(*view.steps, step))
