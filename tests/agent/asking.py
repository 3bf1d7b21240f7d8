"""Asking a session as the tests do: the reply, with every claim of it found in the evidence that it cites."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

from tier_models import TIER

from agent.reply import Reply
from agent.session import Session
from agent.verify import check_sentence, cited_ids

SAMPLES = Path(__file__).parents[2] / "samples"
DATA = Path(os.environ.get("TELLTALE_DATA", Path(__file__).parents[3] / "shared" / "data"))
HANDED_OVER = re.compile(r"\n+_[^\n]* so fixed rules wrote this\._")


def ask(session: Session, question: str, **given: object) -> Reply:
    """The reply; nothing was removed from it, every line of it holds, and its lookups stay small."""
    *_, reply = session.ask(question, **given)  # type: ignore[arg-type]
    assert isinstance(reply, Reply)
    if TIER == "embedded":
        assert reply.removed == (), question
    reply = spoken(reply)
    known = {e.id: e for e in reply.evidence}
    assert set(cited_ids(reply.answer)) <= set(known), question
    for line in reply.answer.splitlines():
        if line.strip() and cited_ids(line):
            check = check_sentence(line, known)
            assert check.holds, (line, check.problems)
    assert all(len(json.dumps(e.to_json())) < 4000 for e in reply.evidence if e.tool.startswith("lookup_")), question
    return reply


def spoken(reply: Reply) -> Reply:
    """The reply without the note that a model did not word it."""
    return replace(reply, answer=HANDED_OVER.sub("", reply.answer))
