"""Answers to checks of rules: from the engine, or from a trivial guess, and how good they are.

A rule that calls something an anomaly decides "abnormal" where it fires and "normal" where it does not; a rule that calls it normal
decides the other way round. A source on which nothing fired while something could not be told is not answered: that is abstaining.
The inverted rule is asked twice, as the engine inverts it and as its opposite in words compiled anew, and must decide the opposite both
times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from agent.rules.compile import compile_rule, inverted
from agent.rules.conditions import Definition
from agent.rules.evaluate import Material, evaluate
from agent.rules.gather import gather
from agent.rules.outcome import CannotTell, Outcome
from benchmarks.rows import measured
from benchmarks.rules_sets import Check, Span
from core.errors import TelltaleError
from core.evidence import EventRows, Interval

if TYPE_CHECKING:
    from agent.question import SourceInfo
    from agent.rules.measurable import Looker

Decision = Literal["abnormal", "normal"]
COMMAND = "telltale models pull"
"""What a limit that a model would lift has to name."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was decided (None: not answered), where, and why not; `inverts` when the inverted rule decided the opposite.

    `rows` are rows of a log that were named, `n_rows` how many were meant: a finding names at most 200. `seconds` it took: following a
    clip is paid by the first question about it.
    """

    decision: Decision | None
    inverts: bool = False
    spans: tuple[Span, ...] = ()
    rows: frozenset[int] = frozenset()
    n_rows: int = 0
    cannot: tuple[CannotTell, ...] = ()
    seconds: float = 0.0


def decide(outcome: Outcome, definition: Definition) -> Decision | None:
    """The decision of one rule on one source, None where it cannot be told.

    >>> from agent.rules.compile import compile_rule
    >>> falls = compile_rule("a person falling is an anomaly").definition
    >>> decide(Outcome(source="a.mp4", tried=1), falls), decide(Outcome(source="a.mp4", tried=1), inverted(falls))
    ('normal', 'abnormal')
    >>> cannot = (CannotTell(reason="Too dark.", what_would_help="Light."),)
    >>> decide(Outcome(source="a.mp4", tried=1, cannot=cannot), falls) is None
    True
    """
    fired = bool(outcome.findings)
    if not outcome.tried or (outcome.cannot and not fired):
        return None
    return "abnormal" if fired == (definition.polarity == "anomaly") else "normal"


def ask(checks: Sequence[Check], *, looker: Looker | None = None) -> list[Answer]:
    """The engine's answers, in order; a source is opened once and followed once, whatever is asked of it."""
    answers: dict[int, Answer] = {}
    for source in dict.fromkeys(check.source for check in checks):
        wanted = [i for i, check in enumerate(checks) if check.source == source]
        material, infos = _opened(source, looker)
        for i in wanted:
            with measured() as cost:
                answer = _asked(checks[i], material, infos)
            answers[i] = replace(answer, seconds=cost.seconds)
    return [answers[i] for i in range(len(checks))]


def _opened(source: Path, looker: Looker | None) -> tuple[Material, list[SourceInfo]]:
    from agent.workbench import describe_source
    from readers.open import open_path

    opened = open_path(source)
    return gather(opened, looker=looker), [describe_source(opened)]


def _asked(check: Check, material: Material, infos: Sequence[SourceInfo]) -> Answer:
    try:
        definition = compile_rule(check.rule, sources=infos).definition
        opposite = compile_rule(check.inverse, sources=infos).definition
        outcome = evaluate(definition, material)
        turned = [decide(evaluate(one, material), one) for one in (inverted(definition), opposite)]
    except TelltaleError as error:  # a definition that is refused, or a model that gives no answer, with the reason
        return Answer(decision=None, cannot=(CannotTell(reason=str(error), what_would_help=""),))
    decision = decide(outcome, definition)
    loci = [finding.locus for finding in outcome.findings]
    return Answer(
        decision=decision, inverts=decision is not None and all(d is not None and d != decision for d in turned),
        spans=tuple((one.start_s, one.end_s) for one in loci if isinstance(one, Interval)),
        rows=frozenset(row for one in loci if isinstance(one, EventRows) for row in one.rows), n_rows=outcome.events, cannot=outcome.cannot,
    )  # fmt: skip


def always(checks: Sequence[Check], decision: Decision) -> list[Answer]:
    """The same decision everywhere and whatever the rule, for the whole of each source."""
    return [_whole(check, decision) for check in checks]


def _whole(check: Check, decision: Decision) -> Answer:
    if decision == "normal":
        return Answer(decision="normal")
    rows = frozenset(range(1, check.n_rows + 1))
    return Answer(decision="abnormal", spans=((0.0, check.hours * check.per_hour),), rows=rows, n_rows=len(rows))


def at_random(checks: Sequence[Check], seed: int) -> list[Answer]:
    """A coin for each rule and another for its opposite; where it says "abnormal", a random stretch."""
    draw = np.random.default_rng(seed)
    answers = []
    for check in checks:
        first, second = draw.random(2) < 0.5
        low, high = np.sort(draw.random(2))
        length = check.hours * check.per_hour
        rows = frozenset(range(1 + int(low * check.n_rows), 1 + int(high * check.n_rows)))
        answers.append(
            Answer(decision="abnormal", inverts=bool(first != second), spans=((low * length, high * length),), rows=rows,
                   n_rows=len(rows))
            if first else Answer(decision="normal", inverts=bool(first != second))
        )  # fmt: skip
    return answers


def by_text(checks: Sequence[Check]) -> list[Answer]:
    """What the words alone suggest: the usual verdict of the rule on the other half of the sources; a tie is abnormal."""
    first, second = ([text_rate(checks, c, text) >= 0.5 for c, text in _texts(checks, opposite)] for opposite in (False, True))
    return [Answer(decision="abnormal" if a else "normal", inverts=a != b) for a, b in zip(first, second, strict=True)]


def _texts(checks: Sequence[Check], opposite: bool) -> list[tuple[Check, str]]:
    return [(check, check.inverse if opposite else check.rule) for check in checks]


def text_rate(checks: Sequence[Check], check: Check, text: str) -> float:
    """How often sources of the other half (every second one) are abnormal under `text`, or under any rule where none was asked it.

    Halves, because a rate over all other sources is lower exactly where the one left out is abnormal.
    """
    order = {source: i for i, source in enumerate(sorted({one.source for one in checks}))}
    others = [one for one in checks if (order[one.source] - order[check.source]) % 2]
    same = [one for one in others if one.rule == text] or others
    return float(np.mean([one.abnormal for one in same])) if same else 0.5


def second_halves(checks: Sequence[Check]) -> list[Answer]:
    """Abnormal everywhere, and always in the second half: what happens at the end of acted clips."""
    return [
        replace(_whole(check, "abnormal"), spans=((check.hours * check.per_hour / 2, check.hours * check.per_hour),))
        for check in checks
    ]


def scores(checks: Sequence[Check], answers: Sequence[Answer], *, exact: bool = False) -> dict[str, float]:
    """Coverage, and on what was answered accuracy and share that inverts; where places are known, recall, IoU and false alarms.

    What was not answered counts as missed in recall. `exact`: also the share of answered checks told at exactly the true places. A
    metric without anything to measure it on is left out.
    """
    pairs = list(zip(checks, answers, strict=True))
    answered = [(check, answer) for check, answer in pairs if answer.decision is not None]
    found = {"checks": float(len(pairs)), "coverage": len(answered) / len(pairs)}
    if not answered:
        return found
    found["accuracy"] = float(np.mean([(answer.decision == "abnormal") == check.abnormal for check, answer in answered]))
    found["inverts"] = float(np.mean([answer.inverts for _, answer in answered]))
    if exact:
        found["exact"] = float(np.mean([same_places(check, answer) for check, answer in answered]))
    return found | _placed(pairs)


def _placed(pairs: Sequence[tuple[Check, Answer]]) -> dict[str, float]:
    """Recall and the like over the checks of which the places are known."""
    timed = [(check, answer) for check, answer in pairs if check.events is not None]
    logged = [(check, answer) for check, answer in pairs if check.rows is not None]
    hours = sum(check.hours for check, _ in (*timed, *logged))
    found: dict[str, float] = {}
    if timed:
        best = [max((iou(event, span) for span in a.spans), default=0.0) for c, a in timed for event in c.events or ()]
        false = sum(all(iou(span, event) == 0 for event in c.events or ()) for c, a in timed for span in a.spans)
        if best:
            found |= {"recall": float(np.mean(np.array(best) > 0)), "mean_tiou": float(np.mean(best))}
        found["false_alarms_per_hour_lower_is_better"] = false / hours
    elif logged:
        true = sum(len(c.rows or ()) for c, _ in logged)
        hits = sum(c.n_rows and min(len(c.rows or ()), _hits(c, a)) for c, a in logged)
        if true:
            found["recall"] = hits / true
        false = sum(len(a.rows - (c.rows or frozenset())) for c, a in logged)
        found["false_alarms_per_hour_lower_is_better"] = false / hours
    return found


def _hits(check: Check, answer: Answer) -> int:
    """True rows among those meant; the rows that a finding counts without naming them are right where all named ones are."""
    named = answer.rows & (check.rows or frozenset())
    return answer.n_rows if named == answer.rows else len(named)


def same_places(check: Check, answer: Answer) -> bool:
    """Whether a decision is right and, where the places are known, told at exactly those."""
    if (answer.decision == "abnormal") != check.abnormal:
        return False
    if check.events is not None:
        return sorted(answer.spans) == sorted(check.events)
    return check.rows is None or (answer.rows <= check.rows and answer.n_rows == len(check.rows))


def iou(a: Span, b: Span) -> float:
    """Temporal intersection over union.

    >>> iou((0.0, 2.0), (1.0, 3.0)), iou((0.0, 1.0), (1.0, 2.0))
    (0.3333333333333333, 0.0)
    """
    shared = min(a[1], b[1]) - max(a[0], b[0])
    return max(0.0, shared) / (max(a[1], b[1]) - min(a[0], b[0]))


def abstentions(answers: Sequence[Answer]) -> dict[str, float]:
    """What is said where nothing is answered: shares that give a reason, what would help, and the command that would enable it."""
    silent = [answer for answer in answers if answer.decision is None]
    if not silent:
        return {}
    return {
        "abstained": float(len(silent)),
        "says_why": float(np.mean([any(c.reason for c in a.cannot) for a in silent])),
        "says_what_helps": float(np.mean([any(c.what_would_help for c in a.cannot) for a in silent])),
        "names_the_command": float(np.mean([any(COMMAND in c.what_would_help for c in a.cannot) for a in silent])),
    }
