"""A model's text, sentence by sentence: what is borne out by evidence, what is the model's own view, and what must go.

A *fact* cites evidence that bears out every number, time, name, place, kind, grade, verdict, order and cause in it, in words that are
the evidence's or plain reporting words. A *view* makes no such claim beyond what is borne out but uses words of its own (what a vision
model believes to see); it is shown marked as not measured. Anything else is *wrong* and is put right or left out.

Nothing is skipped: a heading, a bold lead-in, a table row, the text of a link and the content of backticks are judged like any sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from agent.checking.assertions import assertion_claims
from agent.checking.claims import Claim, disagreement
from agent.checking.deeds import cause_problems, deed_claims
from agent.checking.facts import SHORTEST_PHRASE, Facts, plain
from agent.checking.names import elsewhere, misspelt, name_claims, name_problems
from agent.checking.numerals import clean, date_readings
from agent.checking.order import order_problems
from agent.checking.phrases import phrases
from agent.checking.predicates import predicate_claims
from agent.checking.quantities import quantity_claims
from agent.checking.times import time_claims
from agent.checking.utterance import IN_PICTURE, LIKENESS, Utterance
from agent.checking.words import NOT_ENGLISH, is_visible, own_words, unborne, unreadable
from agent.verify import CITATION, QUOTED, cited_ids
from core.evidence import Evidence

_SPLIT = re.compile(
    r"(?<!\bMax\.)(?<!\bMin\.)(?<!\bAvg\.)(?<!\bvs\.)(?<!\bConf\.)(?<!\bSev\.)(?<=[.!?])[\"”’)]*\s+(?=[A-Z`*_\"“(\[])(?!\[E\d)|(?<=\?)\s+(?!\[E\d)"
)
_BULLET = re.compile(r"^\s*(?:>\s*)*(?:[-*•+]\s+|\d{1,2}[.)]\s+)+")
_HEADING = re.compile(r"^\s*#{1,6}\s+")
_BOLD_LINE = re.compile(r"^\s*(?:\*\*|__)[^*]{1,120}(?:\*\*|__):?\s*$|^\s*[A-Z][\w ]{0,30}:\s*$")
_RULE = re.compile(r"^[\s|:*_=-]+$")
_GROUP = re.compile(r"\[E\d+(?:\s*,\s*E\d+)*\](?:[\s,]*\[E\d+(?:\s*,\s*E\d+)*\])*")
_TRAILING = re.compile(r"([.!?])\s*((?:\[E\d+(?:\s*,\s*E\d+)*\]\s*)+)(?=\s|$|\*)")
_LINK = re.compile(r"!?\[([^\]\n]*)\]\((\S*?)(?:\s+\"[^\"]*\")?\)")
_TAG = re.compile(r"<[^>\n]{1,200}>")
_BAD_CITATION = re.compile(r"\[\s*E[^\]]*\]?|\[[^\]]*\bE\s?\d+[^\]]*\]?|\bE\s+\d+\b", re.I)
_NAMES = re.compile(r"\S*\w[._\\/:@-]\w\S*|\S*\d\S*")
"""Words that are names, paths, numbers and times, in any language."""
_NO = re.compile(r"^\s*No,\s+", re.I)
_ASKED = re.compile(r"^You (?:asked|want(?:ed)? to know)\b", re.I)
_UNKNOWN = phrases("unknown")
_OPEN = re.compile(
    r"\b(?:what|who) (?:caused|made|started|triggered)\b|\b(?:why|how|whether|what|who|when|which)\b|"
    r"\bthe (?:cause|reason)\b(?: of\b| for\b)?",
    re.I,
)
"""What may be left open."""
_WHETHER = re.compile(r"\bwhether\b", re.I)
LONGEST_SENTENCE = 1_000
MOST_BULLETS = 8
"""So many lines may share the citation of the line after them."""
MOST_KEPT = 64
_KEPT: dict[tuple[int, ...], Facts] = {}


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One sentence: `kind`, the evidence it cites, and for a wrong one why."""

    text: str
    kind: Literal["fact", "view", "wrong"]
    cited: tuple[str, ...]
    problems: tuple[str, ...] = ()


def sentences_of(text: str) -> list[str]:
    r"""The sentences of a text in order, bullets off, citations inside, a table row as one sentence; links keep their words.

    >>> sentences_of("**Summary**\n- The belt stops. [E2] It starts again at 0:20 [E3].")
    ['Summary', 'The belt stops [E2].', 'It starts again at 0:20 [E3].']
    """
    return [sentence for block in _blocks(text) for sentence in block]


def _rows_by_column(lines: Sequence[str]) -> Iterator[str]:
    """The lines of a text, the rows of a table with the names of its columns before their cells and without its head."""
    head: list[str] = []
    for i, line in enumerate(lines):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.count("|") < 2:
            head = []
        elif not head and i + 1 < len(lines) and re.fullmatch(r"[\s|:-]*-[\s|:-]*", lines[i + 1]) and "|" in lines[i + 1]:
            head = cells
            continue
        elif head and len(cells) == len(head) and not _RULE.match(line):
            line = "| " + " | ".join(f"{name} {cell}".strip() for name, cell in zip(head, cells, strict=True)) + " |"
        yield line


def _blocks(text: str) -> Iterator[list[str]]:
    """Paragraphs, bullets, headings and table rows, each as its sentences."""
    lines: list[str] = []
    for line in [*_rows_by_column(clean(text).splitlines()), ""]:
        alone = _HEADING.match(line) or _BOLD_LINE.match(line) or line.lstrip().startswith("|") or line.count("|") > 1
        if (not line.strip() or _BULLET.match(line) or alone) and lines:
            yield _sentences(" ".join(lines))
            lines = []
        if _RULE.match(line) or not line.strip():
            continue
        if alone:
            yield _sentences(line)
        else:
            lines.append(line)


def _sentences(block: str) -> list[str]:
    block = _HEADING.sub("", _BULLET.sub("", block))
    block = _TAG.sub(" ", _LINK.sub(_link, block))
    if "|" in QUOTED.sub("", block):
        block = ", ".join(cell.strip() for cell in block.split("|") if cell.strip())
        block = re.sub(r",\s*(?=\[E)", " ", block)
    block = re.sub(r"\*\*|__|(?<!\w)[*_](?=\w)|(?<=[\w.!])[*_](?!\w)|~~", "", block)
    block = _TRAILING.sub(lambda m: f" {m[2].strip()}{m[1]} ", block).strip()
    parts = (part.strip() for part in _SPLIT.split(block))
    return [p[:LONGEST_SENTENCE] for p in parts if re.search(r"\w", p)]


def _link(match: re.Match[str]) -> str:
    """A link's words; its address stays visible to the check unless it is none."""
    return f"{match[1]} ({match[2]})" if match[2] else match[1]


def judge_text(text: str, evidence: Mapping[str, Evidence], question: str = "") -> list[Judgement]:
    """Judge every sentence of a text; one that cites nothing is held against what the next sentence of its paragraph cites.

    A question is left out: its answer must hold without it. So is a heading without a claim; one with a claim is held against what
    the paragraph below it cites. Of a text in another language nothing can be checked, so nothing of it passes.
    """
    blocks = list(_blocks(text))
    if (reason := unreadable(_NAMES.sub(" ", CITATION.sub(" ", QUOTED.sub(" ", clean(text)))))) == NOT_ENGLISH:
        return [
            Judgement(text=part, kind="wrong", cited=cited_ids(part), problems=(reason,)) for parts in blocks for part in parts
        ]
    judged: list[Judgement] = []
    asked = ""
    for i, parts in enumerate(blocks):
        for j, part in enumerate(parts):
            later = blocks[i + 1 : i + 1 + MOST_BULLETS] if len(parts) == 1 else ()
            following = [*parts[j + 1 :], *(part for block in later for part in block)]
            if re.search(r"\?\W*$", CITATION.sub("", part)):
                asked = part  # it says nothing by itself
                continue
            part = _in_full(part, asked)
            ids = cited_ids(part) or next((cited_ids(other) for other in following if cited_ids(other)), ())
            named = _named(parts[j - 1], evidence) if j else ()
            made = judge_sentence(part, evidence, question=question, cited=ids, before=named)
            denies = _NO.match(part) and re.search(r"\b(?:no|not|none|nothing)\b", _NO.sub("", part), re.I)
            if asked and (denies or judge_sentence(asked, evidence, cited=made.cited).kind == "wrong"):
                made = _answer(part, made, judge_sentence(_NO.sub("", part), evidence, cited=ids, before=named))
            asked = ""
            heading = len(parts) == 1 and not cited_ids(part) and not re.search(r"[.!?]$", part)
            if (
                heading
                and made.kind != "wrong"
                and not own_words(Utterance(part, Facts.of(())))
                and judge_sentence(part, {}).kind == "view"
            ):
                continue
            judged.append(made)
    return judged


def judge_sentence(
    sentence: str, evidence: Mapping[str, Evidence], *, question: str = "", cited: Sequence[str] | None = None, before: Sequence[str] = (),
) -> Judgement:  # fmt: skip
    """Judge one sentence; `cited` are ids it is held against when it cites nothing itself. The `question` proves nothing: it only lets
    a sentence repeat what was asked ("You asked …"). `before` are the names of the sentence before, of which a pronoun may speak.

    >>> from core.evidence import Region
    >>> where = Region(sample="a.png", box=(0, 0, 9, 9), area_share=0.1)
    >>> e = Evidence(id="E1", tool="t", version="1", parameters={}, source="a.png", locus=where, score=0.87)
    >>> judge_sentence("The score is 0.87 [E1].", {"E1": e}).kind, judge_sentence("The score is 0.78 [E1].", {"E1": e}).kind
    ('fact', 'wrong')
    >>> judge_sentence("The wall is painted [E1].", {"E1": e}).kind
    'view'
    """
    sentence = clean(sentence)
    own = cited_ids(sentence)
    ids = tuple(own or cited or ())
    if unknown := [i for i in ids if i not in evidence]:
        return Judgement(text=sentence, kind="wrong", cited=ids, problems=tuple(f"{i} does not exist" for i in unknown))
    bad = _BAD_CITATION.search(CITATION.sub(" ", QUOTED.sub(" ", sentence)))
    if bad:
        return Judgement(text=sentence, kind="wrong", cited=ids, problems=(f"{bad.group().strip()!r}: cite as [E2] or [E2, E3]",))
    others = [i for i in re.findall(r"\bE\d+\b", QUOTED.sub(" ", CITATION.sub(" ", sentence))) if i not in ids]
    if others:
        return Judgement(text=sentence, kind="wrong", cited=ids, problems=(f"it speaks of {others[0]} without citing it",))
    if _ASKED.match(sentence) and not own and all(w in plain(question) for w in re.findall(r"[\w:.]*\d(?:[\w:.]*\w)?", sentence)):
        return Judgement(text=sentence, kind="view", cited=())
    if _is_remark(sentence, [evidence[i] for i in ids]):
        return Judgement(text=sentence, kind="fact", cited=ids)
    if _is_ignorance(sentence, [evidence[i] for i in ids]):
        return Judgement(text=sentence, kind="fact" if own else "view", cited=own)
    best: tuple[list[str], list[str]] | None = None
    for reading in date_readings(sentence):
        problems, strange = _judge(reading, [evidence[i] for i in ids], evidence, before)
        if best is None or len(problems) < len(best[0]):
            best = problems, strange
    problems, strange = best or ([], [])
    if problems:
        return Judgement(text=sentence, kind="wrong", cited=ids, problems=tuple(dict.fromkeys(problems)))
    if ids and not own:
        end = re.search(r"[.!?:]*$", sentence)
        sentence = f"{sentence[: end.start()] if end else sentence} [{', '.join(ids)}]."
    seen = [evidence[i] for i in ids] or list(evidence.values())
    plotted = IN_PICTURE.search(sentence) is not None and any(e.path for e in seen)
    if strange and not plotted and not any(map(_pictured, seen)):
        problem = f"{strange[0]!r} is neither the evidence's word nor plain reporting, and there is no picture to see it in"
        return Judgement(text=sentence, kind="wrong", cited=ids, problems=(problem,))
    unseen = [word for word in strange if not is_visible(word)]
    if unseen and not (IN_PICTURE.search(sentence) or LIKENESS.search(sentence)):
        problem = f'{unseen[0]!r} is neither the evidence\'s word nor plain to see; what you see goes into a sentence with "In the picture"'
        return Judgement(text=sentence, kind="wrong", cited=ids, problems=(problem,))
    return Judgement(text=sentence, kind="fact" if ids and not strange else "view", cited=ids)


def _in_full(answer: str, question: str) -> str:
    """An answer that only says who did it, told with what was done.

    >>> _in_full("A did, at 10:20.", "Who started it?")
    'A started it, at 10:20.'
    """
    asked = re.match(r"\s*(?:Who|Which \w+|What)\s+(\w+ed\s+[^?]+)\?", question)
    return re.sub(r"\bdid\b(?=\W)", lambda _: asked[1].strip(), answer, count=1) if asked else answer


def _answer(text: str, made: Judgement, without_no: Judgement) -> Judgement:
    """The judgement of an answer to a question that holds something false: a no may stand before what holds, a yes may not."""
    if _NO.match(text) and without_no.kind != "wrong":
        return replace(without_no, text=f"No, {without_no.text}")
    if made.kind != "wrong" and re.search(r"\b(?:yes|yeah|indeed|exactly|correct|right|sure)\b", text, re.I):
        return Judgement(text=text, kind="wrong", cited=made.cited, problems=("say it without a question before it",))
    return made


def _named(sentence: str, evidence: Mapping[str, Evidence]) -> tuple[str, ...]:
    """The processes and files that a sentence names."""
    said = Utterance(sentence, _facts([evidence[i] for i in cited_ids(sentence) if i in evidence]))
    return tuple(m.name for m in said.mentions if m.type == "entity")


def _pictured(item: Evidence) -> bool:
    """Whether evidence is about a picture or a video: only there a vision model may see more than was measured."""
    return item.locus.kind == "region" or getattr(item.locus, "box", None) is not None or bool(
        {"fps", "photos", "width", "keyframes_s", "caption", "frames", "looked_at"} & set(item.facts)
    )  # fmt: skip


def _is_ignorance(sentence: str, known: Sequence[Evidence]) -> bool:
    """Whether a sentence says only that something is not known, and claims nothing beside it."""
    if _UNKNOWN.search(sentence) is None:
        return False
    left = _UNKNOWN.sub(" ", sentence)
    asked = _OPEN.search(sentence) is not None
    said = Utterance(_OPEN.sub(" ", left) if asked else left, _facts(known))
    times, rest = time_claims(said)
    claims = [*times, *quantity_claims(said, rest), *assertion_claims(said), *deed_claims(said)]
    held = not claims or (asked and all(c.support for c in claims))
    strange = [w for w in own_words(said) if not (is_visible(w) and any(map(_pictured, known)))]
    return (
        held
        and not strange
        and not name_problems(said)
        and (_WHETHER.search(sentence) or not cause_problems(said, ()))
        and not unreadable(said.bare)
    )


def _facts(known: Sequence[Evidence]) -> Facts:
    """The facts of some evidence; a text cites the same few pieces again and again."""
    key = tuple(map(id, known))
    found = _KEPT.get(key)
    if found is None or any(a is not b for a, b in zip(found.evidence, known, strict=True)):
        if len(_KEPT) >= MOST_KEPT:
            _KEPT.clear()
        found = _KEPT[key] = Facts.of(known)
    return found


def _is_remark(sentence: str, known: Sequence[Evidence]) -> bool:
    """Whether a sentence is word for word what a remark of the conversation says."""
    bare = plain(CITATION.sub("", sentence)).strip("_ .")
    remarks = [plain(said) for e in known if e.tool in ("reading", "question") and isinstance(said := e.facts.get("said"), str)]
    return len(bare) > SHORTEST_PHRASE and any(bare in remark for remark in remarks)


def _judge(
    sentence: str, known: Sequence[Evidence], evidence: Mapping[str, Evidence], before: Sequence[str]
) -> tuple[list[str], list[str]]:  # fmt: skip
    """The problems of a sentence, and its own words."""
    problems: list[str] = []
    strange: list[str] = []
    for said, ids in _parts(sentence, [e.id for e in known]):
        part = Utterance(said, _facts([evidence[i] for i in ids]), tuple(before))
        if reason := unreadable(part.bare):
            return [reason], []
        times, rest = time_claims(part)
        claims: list[Claim] = [
            *times,
            *quantity_claims(part, rest),
            *assertion_claims(part),
            *deed_claims(part),
            *predicate_claims(part),
        ]
        own = own_words(part, claims)
        problems += [c.problem or f"{c.text!r} is not what the evidence says there" for c in claims if not c.support]
        problems += name_problems(part) + cause_problems(part, own)
        if not (problems or own):
            problems += [f"{word!r} claims something that the evidence does not show" for word in unborne(part, claims)]
        problems += [f"{w!r} is no name of the evidence; {near!r} is" for w in own if (near := misspelt(w, part.facts))]
        problems += elsewhere(part, _facts(list(evidence.values())))
        problems += disagreement([*claims, *name_claims(part)], part.bare, part.facts)
        strange += own
    whole = Utterance(sentence, _facts(known))
    problems += order_problems(sentence, whole)
    return problems, strange


def _parts(sentence: str, ids: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """The parts of a sentence with the ids each leans on: those of the citation that follows it; the last part, of the one before."""
    at, last = 0, tuple(ids)
    groups = list(_GROUP.finditer(QUOTED.sub(lambda m: "x" * len(m.group()), sentence)))
    for match in groups:
        own = cited_ids(match.group())
        if re.search(r"\w", sentence[at : match.start()]):
            yield sentence[at : match.start()], own
        at, last = match.end(), own
    if re.search(r"\w", sentence[at:]):
        yield sentence[at:], last
