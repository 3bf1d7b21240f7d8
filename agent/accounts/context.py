"""Context of a finding as evidence: what was measured before it, after it, and that may excuse it.

The tool of such evidence is its role (`context_before`, `context_after`, `context_excuse`); its fact `what` says which observation
it is, and `offset` how long after the finding's onset it begins, in `unit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from core.evidence import Evidence, Locus

Role: TypeAlias = Literal["before", "after", "excuse"]
PREFIX = "context_"


def observed(role: Role, what: str, source: str, locus: Locus, facts: Mapping[str, Any], *, offset: float | None = None,
             unit: str = "s") -> Evidence:  # fmt: skip
    """Unnumbered evidence of one observation around a finding."""
    placed: dict[str, Any] = {} if offset is None else {"offset": round(offset, 3), "unit": unit}
    return Evidence(id="", tool=f"{PREFIX}{role}", version="1", parameters={}, source=source, locus=locus,
                    facts={"what": what, **facts, **placed})  # fmt: skip


def role_of(evidence: Evidence) -> str:
    """Its role; empty for evidence that is no context.

    >>> from core.evidence import Whole
    >>> role_of(observed("after", "returned", "a.csv", Whole(sample="a.csv"), {}, offset=2.0))
    'after'
    """
    return evidence.tool.removeprefix(PREFIX) if evidence.tool.startswith(PREFIX) else ""
