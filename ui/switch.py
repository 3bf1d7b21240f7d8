"""The page's model switch: which tier answers this chat, the others there are, and what leaves this machine with them.

It shows what `ui.offer` offers and holds the tier of a chat that is not there yet; a chat's own tier is held by `ui.chats`.
"""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from core.errors import UserError
from models.chat.tiers import FORMS, Tier
from ui.offer import Offer, label


class Switch:
    """The switch's components. `outputs` are what `show` and `said` update, in the same order."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer

    def build(self) -> None:
        """Lay it out, within the page's blocks."""
        given = self.offer.given
        self.header = gr.HTML(header(""), elem_id="tt-header")
        self.held = gr.State(given)
        with gr.Accordion(_title(given), open=False, elem_id="tt-models") as self.fold:
            self.pick = gr.Radio(
                self._labelled(given), value=given, label="Who words the answers in this chat", elem_id="tt-pick", container=False
            )
            if not self.offer.strict:
                with gr.Row(elem_id="tt-other"):
                    self.typed = gr.Textbox(
                        label="A model behind a server", placeholder=FORMS["endpoint"], max_lines=1, max_length=500, scale=1,
                        min_width=120, elem_id="tt-typed", container=False,
                    )  # fmt: skip
                    self.use = gr.Button("Use it", size="sm", scale=0, min_width=72, elem_id="tt-use")
            self.note = gr.HTML("", elem_id="tt-pick-note", padding=False)
        self.away = gr.HTML("", elem_id="tt-away", padding=False)
        self.outputs: list[Any] = [self.header, self.held, self.fold, self.pick, self.note, self.away]

    def show(self, model: str) -> tuple[Any, ...]:
        """The switch as it stands in a chat that `model` answers: folded, nothing said."""
        return (*self._set(model, gr.update(label=_title(model), open=False)), "", _away(model))

    def chosen(self, model: str) -> tuple[Any, ...]:
        """The switch after a choice: open, and it says from when on the choice counts."""
        said = f"From the next question on, {Tier.parse(model)} words the answers of this chat."
        return (*self._set(model, gr.update(label=_title(model))), _note(said, "status"), _away(model))

    def refused(self, model: str, error: UserError) -> tuple[Any, ...]:
        """The switch as it was, with why a choice was not taken."""
        skip = gr.skip()
        return skip, skip, skip, gr.update(value=model), _note(" ".join(str(error).split()), "alert"), skip

    def same(self) -> tuple[Any, ...]:
        """Nothing changes."""
        return tuple(gr.skip() for _ in self.outputs)

    def _set(self, model: str, fold: Any) -> tuple[Any, ...]:
        return header(Tier.parse(model).describe()), model, fold, gr.update(choices=self._labelled(model), value=model)

    def _labelled(self, current: str) -> list[tuple[str, str | int | float]]:
        return [(label(text), text) for text in self.offer.choices(current)]


def header(model: str) -> str:
    """The page's first line: its name and which model answers.

    >>> "&lt;b&gt;" in header("Model '<b>' answers.")
    True
    """
    line = f'<span class="tt-model" title="{escape(model)}">{escape(model)}</span>' if model else ""
    return f'<div class="tt-brand"><span class="tt-mark" aria-hidden="true"></span><strong>Telltale</strong>{line}</div>'


def _title(model: str) -> str:
    return f"Model: {model}"


def _note(said: str, role: str) -> str:
    return f'<p class="tt-said tt-{role}" role="{role}">{escape(said)}</p>'


def _away(model: str) -> str:
    warning = Tier.parse(model).warning()
    return f'<p class="tt-warning" role="note">{escape(warning)}</p>' if warning else ""
