"""Whether somebody in a video does what a question asks about, read and held against the clip as a definition in words is.

What moves is followed, which takes about as long as the clip's detector. "No" is said only when everybody was followed well enough
(agent.rules.doubts); else why it cannot be told, and what would help.
"""

from __future__ import annotations

from agent.lookups import judged
from agent.lookups.found import made
from agent.lookups.scope import Scope
from agent.reading.sights import Asked
from core.errors import UserError
from core.evidence import Evidence, Interval, Whole

MOST_TOLD = 10
_OF_A_PLACE = ("enters", "leaves")
"""Acts that say nothing where no place is named: "how many people cross?"."""


def motion(asked: Asked, scope: Scope) -> Evidence | None:
    """Who does it and when, in the times a question names; None when it asks of no act that a definition could name.

    Raises:
        BadInput: the clip cannot be decoded.
    """
    from agent.rules.compile import compile_rule
    from agent.rules.conditions import MotionCondition
    from agent.rules.evaluate import evaluate
    from agent.rules.gather import gather
    from agent.rules.wording import condition_words

    try:
        definition = compile_rule(f"{asked.phrase} is an anomaly").definition
    except UserError:
        return None
    motions = [c for c in definition.conditions if isinstance(c, MotionCondition)]
    acts = [c for c in motions if c.predicate != "is there" and (c.zone is not None or c.predicate not in _OF_A_PLACE)]
    if not acts:
        return None
    outcome = evaluate(definition, gather(scope.source))
    seen = [(f.locus, f.sentence.partition(" (“")[0]) for f in outcome.findings if isinstance(f.locus, Interval)]
    if scope.times:
        seen = [(at, said) for at, said in seen if any(t.start_s < at.end_s and at.start_s < t.end_s for t in scope.times)]
    facts = {
        "of": "video", "phrase": asked.phrase, "act": condition_words(acts[0]), "method": "following what moves", "whether": asked.whether,
        "times": len(seen), "in_times": bool(scope.times), "cannot": list(dict.fromkeys(c.words for c in outcome.cannot)),
        "seen": [{"said": said, "start_s": at.start_s, "end_s": at.end_s} for at, said in seen[:MOST_TOLD]],
    }  # fmt: skip
    sample = scope.source.samples[0].name
    return made("motion", scope.source.name, seen[0][0] if seen else Whole(sample=sample), {**judged.known(scope), **facts})
