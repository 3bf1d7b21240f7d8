"""Asking for the graph of a log: as it is, or one step further out than it was drawn before.

What was drawn is not kept anywhere: the questions asked before say it, so that a chat that goes on after a restart goes on there.
"""

from __future__ import annotations

from dataclasses import replace

from agent.question import Context, Request
from agent.reading.phrases import either


def read_expansion(request: Request, words: str, context: Context) -> Request:
    """The request with how far out the graph is to be drawn, and around whom; unchanged where none of a log is asked for.

    Without a name it goes on where the graph drawn last was; a finding that is named begins anew.
    """
    more = bool(either("graph more").search(words))
    if not (more or either("graph whole").search(words)) or request.rule is not None:
        return request
    if not any(s.kind == "events" for s in context.sources if not request.sources or s.name in request.sources):
        return request
    before = next((r for r in reversed(context.previous) if r.rings is not None), None)
    named = request.entities if "entities" not in request.inherited else ()
    findings = request.findings
    if before is not None and not named and not findings:
        named, references = before.entities, before.references
    else:
        references = request.references
    same = before is not None and (set(before.entities), set(before.findings)) == (
        set(named),
        {i for r in references for i in r.findings},
    )
    rings = (before.rings or 0) + 1 if more and same and before is not None else int(more)
    return replace(
        request, intents=("show",), entities=named, references=references, rings=rings, decided_by="rules", concept=None, way="",
        inherited=(),
    )  # fmt: skip
