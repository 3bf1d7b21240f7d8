"""What one chat carries through the graph: plain values only, so that SQLite can checkpoint it after every node."""

from __future__ import annotations

from typing import Any, TypedDict


class ChatState(TypedDict, total=False):
    """The graph's state. Fields marked (chat) live on between turns; the others are set anew by each turn."""

    thread: str
    """(chat) the chat's name."""
    previous: list[dict[str, Any]]
    """(chat) earlier requests as plain values, latest last."""
    question: str
    files: list[str]
    """Names of the files that came with this question."""
    roles: dict[str, str]
    """Columns a person chose for the roles of an event log."""
    request: dict[str, Any]
    """What was understood (agent.question.Request)."""
    calls: list[dict[str, Any]]
    """Tool calls still to be run (agent.planner.ToolCall)."""
    fresh: list[str]
    """Sources investigated in this turn."""
    tools: list[dict[str, Any]]
    """Tool runs of this turn (agent.reply.ToolRun)."""
    failures: list[str]
    """What could not be done, as sentences."""
    refused: list[list[str]]
    """(file name, sentence) of uploads that could not be read."""
    remarks: list[str]
    """Fixed texts of the answer, about Telltale itself."""
    draft: list[str]
    """Lines of the answer that state something; after the check, those that hold."""
    shown: list[str]
    """Ids of the evidence whose pictures belong to the answer."""
    removed: list[str]
    """Lines the check took out."""
    started: float
    """When the turn began (seconds since 1970)."""


KEPT_REQUESTS = 8
"""Earlier requests a follow-up may refer to."""
