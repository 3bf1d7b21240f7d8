"""What one chat carries through the graph: plain values only, so that SQLite can checkpoint it after every node."""

from __future__ import annotations

from typing import Any, TypedDict

TALK = frozenset(("help", "greeting", "unsupported", "define_rule", "undo", "reset", "export"))
"""Intents answered without looking at any file."""


class ChatState(TypedDict, total=False):
    """The graph's state. Fields marked (chat) live on between turns; the others are set anew by each turn."""

    thread: str
    """(chat) the chat's name."""
    previous: list[dict[str, Any]]
    """(chat) earlier requests as plain values, latest last."""
    wanted: str
    """(chat) the detector that the person asked to be used; empty: the planner's own choice."""
    question: str
    files: list[str]
    """Names of the files that came with this question."""
    roles: dict[str, str]
    """Columns a person chose for the roles of an event log."""
    request: dict[str, Any]
    """What was understood (agent.question.Request)."""
    calls: list[dict[str, Any]]
    """Tool calls still to be run (agent.planner.ToolCall)."""
    closer: bool
    """The message asks for a closer look at long videos that were skimmed."""
    looked: list[str]
    """Sources that were looked at more closely in this turn."""
    planning: dict[str, Any]
    """What the chat's language model asked for (agent.model_planner.Dialogue)."""
    looks: list[str]
    """Lines on the second looks it asked for."""
    fresh: list[str]
    """Sources investigated in this turn."""
    tools: list[dict[str, Any]]
    """Tool runs of this turn (agent.reply.ToolRun)."""
    failures: list[str]
    """What could not be done, as sentences."""
    notices: list[dict[str, Any]]
    """What is to be said of files that are gone or have changed (agent.on_disk.Notice)."""
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
    rules: list[str]
    """Definitions that came with the question and hold in this chat alone."""
    proposal: dict[str, Any] | None
    """A definition that waits to be confirmed (agent.rulings.proposal.Proposal)."""
    unconfirmed: str
    """What is to be said of a proposal that was left without an answer."""
    ruling: list[str]
    """What was done to the rules, as sentences."""
    settled: bool
    """The message was about rules alone, and nothing else is asked."""
    ruled: bool
    """A rule was just put in force: where it fires, and where not, is told."""
    anomalies: list[dict[str, Any]]
    """Everything abnormal after the rules (core.evidence.Anomaly as plain values)."""
    renewed: dict[str, list[dict[str, Any]]]
    """What is shown of the sources in which rules took something out, by source (agent.reply.Panel as plain values)."""
    grounds: list[str]
    """Ids of the evidence the fixed rules' answer rests on: they decide the verdict, whoever writes the answer."""
    accounts: list[dict[str, Any]]
    """The accounts of the anomalies that were told (agent.accounts.account.Account as plain values)."""
    views: list[str]
    """What a model says to see and nothing measured."""
    writer: str
    """The tier that wrote the answer."""
    started: float
    """When the turn began (seconds since 1970)."""


KEPT_REQUESTS = 8
"""Earlier requests a follow-up may refer to."""
