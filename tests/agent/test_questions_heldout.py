"""A table of questions that was written before any of them was asked: is the right thing understood, and the right tool chosen?

A line of `questions_heldout.jsonl` is (set, chat, question, intents, what else, tools). What people ask about recordings follows the
instructions of HIVAU-70k and the cause questions of CUVA, in other words; photos, series and logs are asked about in the same way.
`|` parts readings that are equally fair; an intent `*` is not checked (a command to a rule). What else: `times` ((start, end) in
seconds, to a second for a clip and to a minute elsewhere), `at` (seconds that the one stretch named holds), `samples`, `channels`,
`entities` (their last part), `sources`, `findings`, `concept`, `view`, `negation`, `polarity` of a definition, `sensitivity`, and
`before`, the question before. Tools: detectors as the planner chooses them for the files, lookups by the tool of their evidence,
"rule", or "none". A detector stands for "what it found is the answer": no lookup is wanted.

The sets in LOOKED_AT may be read to improve the grammar, and `benchmarks/reading.py` learns from them. The sets BLIND are blind: only
their share is ever shown. A set was blind until the next one came: `first` and `second` were written together, `third`, `fourth` and the
blind ones by others each (the `fifth` then judged by yet another), `own` (notes, typos, jargon) by those who mend the grammar.
`seventh` and `eighth` are the two halves of a set drawn at random from those video questions, and written in their manner for the others;
it was annotated twice, independently; by these lists `eighth` reached .893. Where the answer was in neither list, whether it answers what
was asked was judged a third time, blind to the lists and among swapped answers, of which 11 of 12 were found out: .951. Only refusals were
appealed, and 1 of 20 answers that the lists accept was judged not to answer, so .951 is an upper bound.
`ninth` (203) was written by yet another hand and annotated twice, independently, each without seeing code or other sets; three quarters
of its video questions ask about events that are not in the clip. Its lists are those of both.
`questions_tenth.jsonl` waits for two annotators: the 54 questions of those instructions word for word, each written anew for photos, series
and logs. Until then nobody who mends the grammar may read it, and nothing of it is learned from.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from asking import SAMPLES
from numpy.typing import NDArray

import agent.lookups.pictures
import agent.lookups.stretches
import agent.rules.evaluate
import models.objects
import models.vision_concepts
from agent.evidence_store import EvidenceStore
from agent.grammar import understand
from agent.investigation import Finding, Investigation
from agent.lookups import look_up, look_up_together
from agent.planner import choose
from agent.question import Context, PriorFinding, Request
from agent.rules.outcome import Outcome
from agent.rulings.commands import NORMAL_HERE, read_command
from agent.state import TALK
from agent.workbench import describe_source
from core.evidence import EventRows, Evidence, Interval, Whole
from readers.open import Source, open_path

SHARE = 0.95
"""Wanted of every set."""
LOOKED_AT = ("first", "second", "third", "own", "fourth", "seventh")
BLIND = ("fifth", "sixth", "eighth", "ninth")
REACHED = {"fifth": 0.87, "sixth": 0.78, "eighth": 0.95, "ninth": 0.83}
"""Bars of the blind sets, below what they reach."""
MISSPELT = 0.92
"""Of questions with one letter wrong in one word; 0.79 when only a short list of words was mended."""
Row = tuple[str, str, str, str, dict[str, Any], str]
TABLE: tuple[Row, ...] = tuple(
    map(tuple, map(json.loads, Path(__file__).with_name("questions_heldout.jsonl").read_text("utf-8").splitlines()))
)
FILES = {"clip": ("crossing.mp4",), "tiles": ("tiles",), "pump": ("pump.csv",), "log": ("workstation.jsonl",)}
FILES |= {"all": (*FILES["clip"], *FILES["pump"], *FILES["log"]), "empty": ()}
FOUND: dict[str, tuple[tuple[str, Any], ...]] = {
    "crossing.mp4": (("unusual motion", Interval(sample="crossing.mp4", start_s=12.0, end_s=15.2, peak_s=13.1)),),
    "tiles": (("anomaly", Whole(sample="tile_04.jpg")), ("anomaly", Whole(sample="tile_07.jpg"))),
    "pump.csv": (
        ("spike in vibration", Interval(sample="pump.csv", start_s=469200.0, end_s=474300.0, peak_s=471600.0, channels=("vibration",))),
        ("flatline in flow", Interval(sample="pump.csv", start_s=1064400.0, end_s=1080600.0, peak_s=1072000.0, channels=("flow",))),
    ),
    "workstation.jsonl": (("rare chain of processes", EventRows(sample="workstation.jsonl", rows=(1, 2, 3))),),
}  # fmt: skip
"""What the detectors find in the bundled samples, so that no detector has to run; scores are made up, only tools are asked for."""


@dataclass(frozen=True)
class Chat:
    """The files of a chat, what was found in them, and what a question may refer to."""

    sources: tuple[Source, ...]
    found: dict[str, Investigation]
    context: Context


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EvidenceStore]:
    kept = EvidenceStore(tmp_path_factory.mktemp("heldout"))
    yield kept
    kept.close()


@pytest.fixture(scope="module")
def chats(store: EvidenceStore) -> dict[str, Chat]:
    opened = {name: open_path(SAMPLES / name) for names in FILES.values() for name in names}
    found = {name: _investigation(source, store) for name, source in opened.items()}
    infos = {name: describe_source(source) for name, source in opened.items()}
    return {
        chat: Chat(
            tuple(opened[n] for n in names), {n: found[n] for n in names},
            Context(sources=tuple(infos[n] for n in names), findings=tuple(p for n in names for p in _prior(found[n]))),
        )
        for chat, names in FILES.items()
    }  # fmt: skip


def _investigation(source: Source, store: EvidenceStore) -> Investigation:
    """An investigation of a bundled sample as a detector leaves it: kept scores, a survey, and FOUND."""
    call = choose(source, 0, ())
    assert call is not None
    sample = source.samples[0]
    seconds: Any = [0.0]
    if source.kind == "series":
        seconds = sample.time_s  # type: ignore[union-attr]
    elif source.kind == "events":
        seconds = sample.table["time_s"].to_numpy()  # type: ignore[union-attr]
    elif source.kind == "video":
        seconds = np.arange(0.0, sample.duration_s, 0.5)  # type: ignore[union-attr]
    kept = store.home / f"{source.kind}.npz"
    np.savez(kept, seconds=seconds, scores=np.zeros(len(seconds), np.float32))
    facts: dict[str, Any] = {
        "events": 2, "flagged": 2, "photos": len(source.samples), "flagged_names": ["tile_04.jpg", "tile_07.jpg"],
        "abnormal_rows": 71, "abnormal_percent": 1.8,
    }  # fmt: skip
    evidence = [
        Evidence(id=f"E{i}", tool=call.detector, version="1", parameters={}, source=source.name, locus=locus, score=2.0, threshold=1.0,
                 facts={**facts, "place": "", "severity": "minor", "shares_percent": dict.fromkeys(getattr(locus, "channels", ()), 90.0)})
        for i, (_, locus) in enumerate((("", Whole(sample=source.name)), *FOUND[source.name]), 1)
    ]  # fmt: skip
    findings = [
        Finding(evidence=e, abnormal=True, label=label, severity=1, severity_score=50.0 - rank)
        for rank, (e, (label, _)) in enumerate(zip(evidence[1:], FOUND[source.name], strict=True))
    ]
    if source.kind == "image":  # every photo has evidence of its own
        others = [s.name for s in source.samples if s.name not in facts["flagged_names"]]
        findings += [Finding(evidence=replace(evidence[0], id=f"E{n}", locus=Whole(sample=s))) for n, s in enumerate(others, 4)]
    return Investigation(
        tool=call.detector, source=source.name, kind=source.kind, reason=call.reason, status="anomalous", survey=evidence[0],
        findings=tuple(findings), arrays=kept.name,
    )  # fmt: skip


def _prior(inv: Investigation) -> list[PriorFinding]:
    return [
        PriorFinding(
            label=f.label, source=inv.source, sample=f.evidence.locus.sample, start_s=getattr(f.evidence.locus, "start_s", None),
            end_s=getattr(f.evidence.locus, "end_s", None), severity_score=f.severity_score, evidence=(f.evidence.id,),
            channels=getattr(f.evidence.locus, "channels", ()),
        )
        for f in inv.findings if f.abnormal
    ]  # fmt: skip


@pytest.fixture(scope="module")
def scores(chats: dict[str, Chat], store: EvidenceStore) -> dict[str, list[tuple[str, list[str]]]]:
    """(question, what was understood otherwise) of every set."""
    graded: dict[str, list[tuple[str, list[str]]]] = {row[0]: [] for row in TABLE} | {"misspelt": []}
    rng = random.Random(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models.objects, "People", _NoPeople)
        patch.setattr(agent.rules.evaluate, "evaluate", lambda wanted, material: Outcome(source=material.source, tried=1))
        patch.setattr(agent.lookups.pictures, "frame_at", _dark)
        patch.setattr(agent.lookups.stretches, "frame_at", _dark)
        patch.setattr(models.vision_concepts, "seek", _nothing_sought)
        patch.setattr(models.vision_concepts, "describe", lambda pictures: [() for _ in pictures])
        for row in TABLE:
            graded[row[0]].append((f"{row[1]}: {row[2]}", mistakes(row, chats[row[1]], store)))
            if row[0] in LOOKED_AT[:3] and row[3] != "*" and (question := misspelt(row[2], rng)) != row[2]:
                typed: Row = (row[0], row[1], question, *row[3:])
                graded["misspelt"].append((f"{row[1]}: {question}", mistakes(typed, chats[row[1]], store)))
    return graded


def misspelt(question: str, rng: random.Random) -> str:
    """The question with one letter of one longer word swapped, dropped, doubled or replaced."""
    words = list(re.finditer(r"(?<![\w./])[A-Za-z]{5,}(?![\w./])", question))
    if not words:
        return question
    found = rng.choice(words)
    at, word = rng.randrange(1, len(found[0]) - 1), found[0]
    edits = (word[:at] + word[at + 1] + word[at] + word[at + 2 :], word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:],
             word[:at] + rng.choice("aeiourtnsl") + word[at + 1 :])  # fmt: skip
    return question[: found.start()] + rng.choice(edits) + question[found.end() :]


def _dark(clip: Any, time_s: float, *, max_side: int) -> Any:
    """Instead of a decoded frame: nobody looks at it."""
    return SimpleNamespace(time_s=time_s, rgb=np.zeros((48, 64, 3), np.uint8))


class _NoPeople:
    """Instead of the people detector, which need not run to know that it is asked."""

    def __init__(self, **settings: Any) -> None:
        pass

    def detect(self, picture: NDArray[np.uint8]) -> list[Any]:
        return []


def _nothing_sought(pictures: Sequence[Any], phrase: str, *, among: Sequence[int]) -> Any:
    """Instead of the matching of concepts."""
    return models.vision_concepts.Sought(similarity=(0.0,) * len(pictures), best=among[0], rank=9, sooner=())


def mistakes(row: Row, chat: Chat, store: EvidenceStore) -> list[str]:
    """What was understood or chosen otherwise than the row says."""
    _, _, question, intents, wanted, tools = row
    context = replace(chat.context, findings=())
    if "before" in wanted:  # findings are known once something was asked
        context = replace(chat.context, previous=(understand(wanted["before"], context),))
    request = understand(question, context)
    wrong = []
    if "*" not in intents.split("|") and set(request.intents) not in [set(one.split()) for one in intents.split("|")]:
        wrong.append(f"intents {request.intents}, wanted {intents}")
    for name, value in wanted.items():
        if name != "before" and not _as_wanted(name, value, request, chat):
            got = request.rule if name == "polarity" else request.times if name == "at" else getattr(request, name)
            wrong.append(f"{name} {got!r}, wanted {value!r}")
    # When the table was written people could only be counted, so following them stands under counting them.
    chosen = {tool.replace("lookup_motion", "lookup_people") for tool in tools_for(request, chat, store)}
    if chosen not in [set(one.split()) for one in tools.split("|")]:
        wrong.append(f"tools {chosen}, wanted {tools}")
    return wrong


def _as_wanted(name: str, value: Any, request: Request, chat: Chat) -> bool:
    """True when a part of what was understood is as the row says."""
    if name in ("times", "at"):
        slack = 1.0 if chat.sources[0].kind == "video" else 60.0
        spans = [(t.start_s, t.end_s) for t in request.times]
        if name == "at":
            return len(spans) == 1 and spans[0][0] <= value[0] < spans[0][1]
        return np.shape(spans) == np.shape(value) and bool(np.allclose(spans, value, rtol=0.0, atol=slack))
    if name == "entities":
        got = [e.replace("\\", "/").rsplit("/", 1)[-1].lower() for e in request.entities]  # "10.0.0.5" also names its ports
        stems = [v.lower().removesuffix(".exe") for v in value]
        return all(any(e.startswith(v) for e in got) for v in stems) and all(e.startswith(tuple(stems)) for e in got)
    if name == "concept":
        return value in (request.concept or "")
    if name == "polarity":
        return request.rule is None or request.rule.polarity == value
    named = [s.sample for s in request.samples] if name == "samples" else getattr(request, name)
    return set(named) == set(value) if isinstance(value, list) else bool(named == value)


def tools_for(request: Request, chat: Chat, store: EvidenceStore) -> set[str]:
    """What answers a question, by the steps of the conversation: a rule, nothing, lookups, or else what the detectors found."""
    text = " ".join(request.question.split())
    if (
        read_command(request.question) is not None
        or "define_rule" in request.intents
        or NORMAL_HERE.match(text)
        or request.way == "rule"
        or request.intents == ("undo",)
    ):
        return {"rule"}
    if set(request.intents) <= TALK:
        return {"none"}
    together = look_up_together(request, chat.sources, chat.found)
    of = [s for s in chat.sources if not request.sources or s.name in request.sources]
    found = [
        *together.evidence,
        *(e for s in of if s.name not in together.told for e in look_up(request, s, chat.found[s.name], store)),
    ]
    if found:
        return {e.tool for e in found}
    named = {*request.sources, *(s.source for s in request.samples), *(t.source for t in request.times)}
    calls = [choose(s, i, ()) for i, s in enumerate(chat.sources) if not named or s.name in named]
    return {call.detector for call in calls if call is not None} or {"none"}


def share(graded: Sequence[tuple[str, list[str]]]) -> float:
    """Share of questions understood as they were meant, with the tool that answers them."""
    return sum(not wrong for _, wrong in graded) / len(graded)


def test_the_table_holds_all_kinds_of_questions() -> None:
    asked = [row[1] for row in TABLE]
    assert len(TABLE) >= 200
    assert len({(row[1], row[2]) for row in TABLE}) == len(TABLE)
    assert all(asked.count(chat) >= least for chat, least in (("clip", 60), ("tiles", 45), ("pump", 45), ("log", 45)))
    assert {row[0] for row in TABLE} <= {*LOOKED_AT, *BLIND}
    assert all(sum(row[0] == name for row in TABLE) >= 90 for name in LOOKED_AT)


def test_nothing_of_the_next_blind_set_is_learned_from() -> None:
    here = Path(__file__).parent
    asked = [json.loads(line)[1] for line in (here / "questions_tenth.jsonl").read_text("utf-8").splitlines()]
    learned = (here.parents[1] / "benchmarks" / "questions.jsonl").read_text("utf-8").splitlines()
    known = {text.lower() for text in (*(json.loads(line)[2] for line in learned), *(row[2] for row in TABLE))}
    assert len(asked) == 216
    assert not known & {text.lower() for text in asked}


@pytest.mark.parametrize("name", LOOKED_AT)
def test_a_set_that_was_looked_at(name: str, scores: dict[str, list[tuple[str, list[str]]]]) -> None:
    missed = [f"{question}: {'; '.join(wrong)}" for question, wrong in scores[name] if wrong]
    assert share(scores[name]) >= SHARE, "\n".join(missed)


def test_a_misspelt_word_costs_little(scores: dict[str, list[tuple[str, list[str]]]]) -> None:
    missed = [f"{question}: {'; '.join(wrong)}" for question, wrong in scores["misspelt"] if wrong]
    assert len(scores["misspelt"]) >= 250
    assert share(scores["misspelt"]) >= MISSPELT, "\n".join(missed)


@pytest.mark.parametrize("name", BLIND)
def test_a_blind_set(name: str, scores: dict[str, list[tuple[str, list[str]]]]) -> None:
    reached = share(scores[name])
    assert reached >= REACHED[name], f"{reached:.3f} of the questions that nobody looked at"
