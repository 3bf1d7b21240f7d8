"""The web page: a chat with files in it, on gradio (which is why only `ui.serve` imports this module, when the page starts).

The page never holds state of its own: everything shown comes from `ui.chats`, so a reload, a second tab or a restart of the
server shows the same chat. What a turn looks like is `ui.messages`; what is safe to show is `agent.reply_html`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.chatbot import ComponentMessage

from agent.reply import Panel
from core.archive import write_atomic
from core.errors import UserError
from core.settings import home, limits
from ui.chats import Chat, Chats
from ui.examples import Example, examples
from ui.looking import Look, Looking
from ui.messages import Bubble, Html, TurnView, bubbles
from ui.plots import curve_figure
from ui.switch import Switch

DEFAULT_QUESTION = "What is wrong here?"


class Page:
    """The page's components and what they do."""

    def __init__(self, chats: Chats, *, strict: bool) -> None:
        self.chats = chats
        self.strict = strict
        self.looking = Looking()
        self.switch = Switch(chats.offer)
        self.examples: list[Example] = examples()
        self._finished: dict[tuple[str, int, bool], list[Any]] = {}

    def build(self) -> gr.Blocks:
        """Lay the page out and wire it."""
        self._html_frame = gr.HTML("", js_on_load=None, apply_default_css=False, render=False).get_config()
        self._plotter = gr.Plot(show_label=False, container=False, render=False)
        self._plot_frame = self._plotter.get_config()  # type: ignore[no-untyped-call]
        with gr.Blocks(title="Telltale", fill_height=True, analytics_enabled=False, delete_cache=(3600, 2 * 86_400)) as blocks:
            browser = gr.BrowserState("", storage_key="telltale-browser", secret=_browser_key())
            thread = gr.Textbox("", visible="hidden", elem_id="tt-thread", label="Chat id")
            with gr.Sidebar(open=False, width=290, elem_id="tt-side"):
                new = gr.Button("New chat", variant="secondary", elem_id="tt-new")
                earlier = gr.Radio([], label="Your chats", elem_id="tt-chats", container=False)
                report = gr.Button("Save this chat as a report", size="sm", elem_id="tt-report", interactive=False)
                download = gr.DownloadButton("Download", size="sm", visible=False, elem_id="tt-report-file")
            self.switch.build()
            self.chatbot = gr.Chatbot(
                elem_id="tt-chat", show_label=False, label="Conversation", container=False, scale=1, height="100%", buttons=[],
                layout="bubble", autoscroll=False, sanitize_html=True, allow_tags=False, feedback_options=None, latex_delimiters=[],
                placeholder=_placeholder(), examples=[{"text": e.question, "display_text": e.title} for e in self.examples],
            )  # fmt: skip
            with gr.Column(elem_id="tt-composer", scale=0):
                with gr.Accordion("Show what normal looks like (optional)", open=False, elem_id="tt-normal") as accordion:
                    normal = gr.File(
                        label="Photos of good parts, ordinary video, or data from a healthy period", file_count="multiple",
                        height=130, elem_id="tt-normal-files",
                    )  # fmt: skip
                composer = gr.MultimodalTextbox(
                    file_count="multiple", placeholder="Drop files and ask what is wrong",
                    show_label=False, label="Your question and files", elem_id="tt-box", autofocus=True, max_lines=6,
                    container=False, submit_btn=True, stop_btn=False,
                )  # fmt: skip

            switch = self.switch
            shown = [self.chatbot, thread, composer, normal, accordion, earlier, report, download, *switch.outputs]
            quiet: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": 64}
            going = {**quiet, "trigger_mode": "multiple"}  # works also while the stream of the shown chat is open
            blocks.load(self.on_load, [browser], [browser, *shown], **quiet, api_visibility="private")
            asked = [composer, normal, thread, switch.held, browser]
            composer.submit(self.on_submit, asked, shown, **going, api_visibility="private")
            composer.stop(self.on_stop, [thread, browser], None, queue=False, api_visibility="private")
            self.chatbot.example_select(self.on_example, [switch.held, browser], shown, **quiet, api_visibility="private")
            self.chatbot.option_select(self.on_suggestion, [thread, browser], shown, **going, api_visibility="private")
            earlier.input(self.on_open, [earlier, browser], shown, **going, api_visibility="private")
            new.click(self.on_new, [browser], shown, **going, api_visibility="private")
            report.click(self.on_report, [thread, browser], [download], api_visibility="private")
            chosen = [switch.held, thread, browser]
            switch.pick.input(self.on_choose, [switch.pick, *chosen], switch.outputs, **going, api_visibility="private")
            if not self.strict:
                typed: Any = {"inputs": [switch.typed, *chosen], "outputs": switch.outputs, "api_visibility": "private", **going}
                switch.typed.submit(self.on_choose, **typed)
                switch.use.click(self.on_choose, **typed)
            thread.change(None, [thread], None, js="(thread) => window.telltaleThread(thread)")
            composer.change(None, [composer], None, js="(value) => window.telltaleFiles(value)")
        demo: gr.Blocks = blocks
        return demo

    # what happens ------------------------------------------------------------------------------------------------------

    def on_load(self, browser: str, request: gr.Request) -> Iterator[Any]:
        """Greet a page: name the browser, list its chats, resume the chat of its address."""
        browser = browser if isinstance(browser, str) and len(browser) >= 20 else secrets.token_urlsafe(24)
        owner = self._owner(browser, request)
        wanted = str(dict(request.query_params).get("thread", "")) if request else ""
        if not wanted:
            yield (browser, *self._empty(owner))
            return
        try:
            chat = self.chats.get(wanted, owner, strict=self.strict)
        except UserError as error:
            yield (browser, *self._empty(owner, note=str(error)))
            return
        for update in self._follow(chat, owner, self.looking.enter(_page_of(request))):
            yield (browser, *update)

    def on_submit(
        self, value: dict[str, Any], normal: Sequence[str] | None, thread: str, model: str, browser: str, request: gr.Request
    ) -> Iterator[Any]:
        """Run the question in the composer, with the files dropped there."""
        question = str((value or {}).get("text") or "").strip()
        files = [Path(path) for path in (value or {}).get("files") or ()]
        normals = [Path(path) for path in normal or ()]
        if not question and not files and not normals:
            yield self._nothing()
            return
        yield from self._ask(question or DEFAULT_QUESTION, files, normals, thread, model, browser, request, uploaded=True)

    def on_example(self, model: str, browser: str, request: gr.Request, event: gr.SelectData) -> Iterator[Any]:
        """Ask a bundled example in a new chat."""
        example = self.examples[int(event.index)]
        yield from self._ask(example.question, list(example.files), list(example.normal), "", model, browser, request)

    def on_suggestion(self, thread: str, browser: str, request: gr.Request, event: gr.SelectData) -> Iterator[Any]:
        """Ask a suggested follow-up."""
        yield from self._ask(str(event.value), [], [], thread, "", browser, request)

    def on_choose(self, wanted: str, held: str, thread: str, browser: str, request: gr.Request) -> Any:
        """Let another model answer this chat, or the chat that begins with the next question."""
        try:
            chat = self.chats.get(thread, self._owner(browser, request), strict=self.strict) if thread else None
            model = self.chats.offer.accept(str(wanted or ""))
            if chat is not None:
                self.chats.choose(chat, model)
        except UserError as error:
            return self.switch.refused(held, error)
        return self.switch.chosen(model)

    def on_stop(self, thread: str, browser: str, request: gr.Request) -> None:
        """Stop the turn in progress."""
        if thread:
            self.chats.get(thread, self._owner(browser, request), strict=self.strict).stop()

    def on_open(self, thread: str, browser: str, request: gr.Request) -> Iterator[Any]:
        """Show an earlier chat."""
        owner = self._owner(browser, request)
        look = self.looking.enter(_page_of(request))
        try:
            chat = self.chats.get(thread, owner, strict=self.strict)
        except UserError as error:
            look.end()
            yield self._empty(owner, note=str(error))
            return
        yield from self._follow(chat, owner, look)

    def on_new(self, browser: str, request: gr.Request) -> Any:
        """Clear the page for a new chat; it exists once something is asked. A turn in progress goes on in its own chat."""
        self.looking.enter(_page_of(request)).end()
        return self._empty(self._owner(browser, request))

    def on_report(self, thread: str, browser: str, request: gr.Request) -> Any:
        """Write the chat's report and offer it."""
        from agent.report import report_html

        chat = self.chats.get(thread, self._owner(browser, request), strict=self.strict)
        turns = [_Answered(turn) for turn in chat.snapshot()[0] if turn.reply is not None]
        folder = home() / "page" / "files" / secrets.token_hex(16)
        path = folder / f"telltale-{chat.thread}.html"
        write_atomic(path, report_html(turns, thread=chat.thread).encode())
        return gr.DownloadButton(f"Download {path.name}", value=str(path), visible=True)

    def _ask(
        self, question: str, files: list[Path], normal: list[Path], thread: str, model: str, browser: str, request: gr.Request,
        uploaded: bool = False,
    ) -> Iterator[Any]:  # fmt: skip
        """Start a turn (in a new chat when `thread` is empty) and show it as it goes."""
        owner = self._owner(browser, request)
        question = question[: limits().max_question_chars]
        try:
            chat = self.chats.get(thread, owner, strict=self.strict) if thread else self.chats.create(owner, model)
            if uploaded:
                files, normal = self.chats.keep(chat.thread, files), self.chats.keep(chat.thread, normal)
            chat.start(question, files=files, normal=normal)
        except UserError as error:
            gr.Warning(str(error).replace("<", "&lt;"))
            yield self._nothing()
            return
        yield from self._follow(chat, owner, self.looking.enter(_page_of(request)))

    # what is shown -----------------------------------------------------------------------------------------------------

    def _follow(self, chat: Chat, owner: str, look: Look) -> Iterator[Any]:
        """The chat now and after every change, until it rests or the page goes elsewhere."""
        first = True
        for turns in look.follow(chat):
            if turns is None:
                yield self._nothing()
                continue
            working = turns[-1:] != [] and turns[-1].reply is None
            reading = working and turns[-1].automatic  # a question may be asked meanwhile
            messages = self._messages(chat.thread, turns)
            if working:
                box = gr.update(value=None, submit_btn=reading, stop_btn=True) if first else gr.skip()
                if reading and not first:
                    box = gr.update(submit_btn=True, stop_btn=True)
                yield (
                    messages, chat.thread if first else gr.skip(), box, gr.update(value=None) if first else gr.skip(),
                    gr.update(open=False) if first else gr.skip(), self._chat_list(owner, chat.thread) if first else gr.skip(),
                    gr.update(interactive=len(turns) > 1) if first else gr.skip(), _no_report() if first else gr.skip(),
                    *(self.switch.show(chat.model) if first else self.switch.same()),
                )  # fmt: skip
                first = False
                continue
            yield (
                messages, chat.thread, gr.update(value=None, submit_btn=True, stop_btn=False) if first
                else gr.update(submit_btn=True, stop_btn=False), gr.update(value=None) if first else gr.skip(),
                gr.update(open=False), self._chat_list(owner, chat.thread), gr.update(interactive=bool(turns)), _no_report(),
                *(self.switch.show(chat.model) if first else self.switch.same()),
            )  # fmt: skip
            first = False

    def _empty(self, owner: str, note: str = "") -> Any:
        if note:
            gr.Warning(note.replace("<", "&lt;"))
        return (
            [], "", gr.update(value=None, submit_btn=True, stop_btn=False), gr.update(value=None), gr.update(open=False),
            self._chat_list(owner, None), gr.update(interactive=False), _no_report(), *self.switch.show(self.chats.offer.given),
        )  # fmt: skip

    def _nothing(self) -> Any:
        return (*(gr.skip() for _ in range(8)), *self.switch.same())

    def _chat_list(self, owner: str, current: str | None) -> Any:
        listed = [(title[:60] or "Untitled", thread) for title, thread in self.chats.listed(owner, strict=self.strict)]
        known = {thread for _, thread in listed}
        return gr.update(choices=listed, value=current if current in known else None)

    def _messages(self, thread: str, turns: Sequence[TurnView]) -> list[Any]:
        """All bubbles as gradio messages; finished turns are built once."""
        shown: list[Any] = []
        for number, turn in enumerate(turns):
            last = number == len(turns) - 1
            key = f"{thread}-{number}"
            if turn.reply is None:
                shown += [self._message(bubble) for bubble in bubbles(turn, key=key, link=self._link, last=last)]
                continue
            cached = self._finished.get((thread, number, last))
            if cached is None:
                built = [self._message(bubble) for bubble in bubbles(turn, key=key, link=self._link, last=last)]
                cached = list(self.chatbot.postprocess(built).root)
                if len(self._finished) > 400:
                    self._finished.clear()
                self._finished[(thread, number, last)] = cached
            shown += cached
        return shown

    def _message(self, bubble: Bubble) -> Any:
        content: list[Any] = []
        for part in bubble.parts:
            if isinstance(part, Html):
                content.append(self._fragment(part.html))
            elif isinstance(part, Panel):
                content.append(self._plot(part))
        metadata: dict[str, Any] = {}
        if bubble.title is not None:
            metadata = {"title": inert(bubble.title), "id": bubble.key, "log": inert(bubble.log), "status": bubble.status}
            metadata |= {"duration": bubble.seconds} if bubble.seconds is not None else {}
        options: Any = [{"value": option, "label": option} for option in bubble.options]
        return gr.ChatMessage(role=bubble.role, content=content, metadata=metadata, options=options)  # type: ignore[arg-type]

    def _plot(self, panel: Panel) -> ComponentMessage:
        """An interactive curve inside a message."""
        plot = self._plotter.postprocess(curve_figure(panel))
        value = plot.model_dump() if plot is not None else None
        props = {**self._plot_frame, "value": value, "label": panel.caption}
        return ComponentMessage(component="plot", value=value, constructor_args={}, props=props)

    def _fragment(self, fragment: str) -> ComponentMessage:
        """HTML inside a message. Gradio cannot build components while an event runs, so their frames are made before."""
        props = {**self._html_frame, "value": fragment}
        return ComponentMessage(component="html", value=fragment, constructor_args={}, props=props)

    def _link(self, path: str) -> str | None:
        """Copy a picture into the page's own folder and give its address there."""
        if not Path(path).is_file():
            return None
        cached = self.chatbot.move_resource_to_block_cache(path)
        return f"gradio_api/file={cached}"

    def _owner(self, browser: str, request: gr.Request) -> str:
        """Who asks: the signed-in name, else the browser's own id."""
        user = getattr(request, "username", None)
        return f"user:{user}" if user else f"browser:{browser}"


def _page_of(request: gr.Request) -> str:
    """Which open page asks: every tab has a gradio session of its own."""
    return str(request.session_hash)


def _no_report() -> Any:
    """A report belongs to the chat as it was when it was written."""
    return gr.update(value=None, visible=False)


class _Answered:
    """A finished turn, as the report wants it."""

    def __init__(self, view: TurnView) -> None:
        assert view.reply is not None
        self.question, self.files, self.reply = view.question, view.files, view.reply


def inert(text: str) -> str:
    """Make text safe where gradio renders Markdown (step titles): no markup, links or pictures.

    >>> inert("<b>![x](y)")
    '&lt;b&gt;!&#91;x&#93;(y)'
    """
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("[", "&#91;").replace("]", "&#93;").replace("*", "&#42;").replace("_", "&#95;").replace("`", "&#96;")


def _browser_key() -> str:
    """The secret that seals browser ids, kept so that a restart does not forget them."""
    path = home() / "page" / "browser.key"
    if not path.is_file():
        write_atomic(path, secrets.token_hex(32).encode())
    return path.read_text(encoding="ascii")


def _placeholder() -> str:
    return (
        '<div class="tt-hello"><h1>What is wrong here?</h1><p>Drop in photos, a video, sensor data or an event log, and ask. '
        "Every answer shows its evidence.</p></div>"
    )
