"""What each open page looks at: a page that goes to another chat leaves the one it followed, whose turn goes on without it.

A page is updated by whichever handler streams to it, so an update of the chat that was left must never come after the first one
of the chat that was chosen. `Looking.enter` therefore returns only when the old stream has handed over its last word.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from ui.chats import Chat
from ui.messages import TurnView

PATIENCE_S = 3.0
"""The longest wait for an old stream: one that belongs to a tab that was closed never answers."""


class Look:
    """One page looking at one thing, until it looks at the next."""

    def __init__(self, looking: Looking, page: str) -> None:
        self._looking, self._page = looking, page
        self.left = threading.Event()
        self.ended = threading.Event()

    def follow(self, chat: Chat) -> Iterator[list[TurnView] | None]:
        """The chat's turns now and after every change; a last None when the page went elsewhere meanwhile.

        The caller must answer None with an update that changes nothing: gradio repeats a stream's last update when it ends.
        """
        try:
            yield from chat.follow(left=self.left)
            if self.left.is_set():
                yield None
        finally:
            self.end()

    def end(self) -> None:
        """Nothing more will come from here."""
        self.ended.set()
        self._looking.forget(self._page, self)


class Looking:
    """The looks of all pages; a page is known by its gradio session."""

    def __init__(self) -> None:
        self._now: dict[str, Look] = {}
        self._lock = threading.Lock()

    def enter(self, page: str) -> Look:
        """Let a page look at something else: ends what it looked at before, in the order in which people clicked.

        >>> looking = Looking()
        >>> first = looking.enter("tab"); first.end(); second = looking.enter("tab")
        >>> first.left.is_set(), second.left.is_set()
        (False, False)
        """
        look = Look(self, page)
        with self._lock:
            before = self._now.get(page)
            self._now[page] = look
        if before is not None:
            before.left.set()
            before.ended.wait(PATIENCE_S)
        return look

    def forget(self, page: str, look: Look) -> None:
        """Drop a look that has ended, unless the page already looks elsewhere."""
        with self._lock:
            if self._now.get(page) is look:
                del self._now[page]
