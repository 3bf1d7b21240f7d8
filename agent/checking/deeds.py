"""Who did what to whom, and what caused what: as a line of the log tells it, and the same way round.

Every verb of doing is read with the one who does it and what it is done to; each must stand so in one line of the evidence. Two names
with other words between them must be joined by those very words in the evidence, unless the words only list them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agent.checking.claims import Claim
from agent.checking.facts import basename, plain
from agent.checking.phrases import phrases
from agent.checking.utterance import BLANK, Mention, Utterance

_DEEDS: dict[str, tuple[str, ...]] = {
    r"(?<=was )started|(?<=were )started|start(?:s|ed|ing)?(?!\s+(?:with|from|in|at|on)\s+(?:the\s+)?(?:▪|rows?\b))|launch(?:es|ed|ing)?|"
    r"spawn(?:s|ed|ing)?|execut(?:es|ed|ing)|invok(?:es|ed|ing)|ran(?=\s+▪)": ("started", "created"),
    "open(?:s|ed|ing)?": ("opened", "started"), "access(?:es|ed|ing)|reads?|reading|touch(?:es|ed)": ("opened", "read"),
    "creat(?:e|es|ed|ing)": ("started", "created", "wrote"), "writes?|wrote|written|writing|sav(?:es|ed)|drop(?:s|ped)": ("wrote",),
    "connect(?:s|ed|ing)?|contact(?:s|ed|ing)|reach(?:es|ed) out|talk(?:s|ed)|communicat(?:es|ed)": ("connected",),
    "delet(?:e|es|ed|ing)|remov(?:e|es|ed|ing)|eras(?:es|ed|ing)": ("deleted", "removed"), "load(?:s|ed|ing)": ("loaded",),
    "look(?:s|ed|ing) up|resolv(?:es|ed|ing)|quer(?:ies|ied)": ("looked up",),
    "chang(?:es|ed|ing)|modif(?:ies|ied)|edit(?:s|ed)|sets?": ("changed", "set"),
    r"(?<=▪ )(?:ended|ends)(?! (?:in|with)\b)|(?<=▪  )(?:ended|ends)(?! (?:in|with)\b)|exit(?:s|ed)": ("ended",),
    "kill(?:s|ed)|terminat(?:es|ed)|stop(?:s|ped)": ("killed", "terminated", "stopped"),
}  # fmt: skip
"""How a sentence may say a deed, and the words by which a log line says it."""
_VERB = re.compile(
    rf"\b(?<!the )(?<!columns )(?<!a )(?<!its )(?<!this )(?:{'|'.join(f'({forms})' for forms in _DEEDS)})\b(?! of\b)", re.I
)
_NO_DEED = re.compile(
    rf"(?:\s|[,;:()→>–|/&…{BLANK}-]|\b(?:and|or|then|to|with|by|in|of|from|the|a|an|via|row|rows|at|on|as|for|which|that|is|"
    rf"was|are|were|its?|start|end|access|memory|port|folder|between|lie|lies|"
    r"process(?:es)?|chain|file|ends?|ending|starts?|begins?|finding|address(?:es)?|host|after|before|most|often|tells?|tell|"
    r"says?|what|did|"
    r"made|connections?|of them|among|events?|rare|ordinary|earlier|later|followed|suspicious|critical|serious|minor|"
    r"abnormal|unusual|"
    r"who|it|only|also|contains?|includes?|including|runs?|through|leads?|over|under|score[sd]?|threshold|against|\d[\d:.,-]*|"
    r"all|way|UTC))*",
    re.IGNORECASE,
)
_ADVERBS = re.compile(
    r"(?:\b(?:then|also|later|finally|next|in turn|itself|directly|again|afterwards|first|subsequently|twice|was the one|is the one|"
    r"had|has|have|did|not|to|\w+ly|when|time)\b[\s,]*)+$", re.I,
)  # fmt: skip
_AUXILIARY = re.compile(
    r"\b(?:was|were|been|being|is|are|got|gets)\s+(?:(?:\w+ly|then|also|twice|later|first|in turn)\s+)*$", re.I
)
_PRONOUN = re.compile(r"\b(?:it|this|that|they|the (?:process|program|command|chain|file))\W*$", re.I)
_CAUSE = phrases("cause")
_METHOD = phrases("method")


@dataclass(frozen=True)
class Verb:
    """A verb of doing in a sentence, and the words a line may say it with."""

    start: int
    end: int
    words: tuple[str, ...]
    passive: bool


def deed_words(said: Utterance) -> frozenset[str]:
    """The verbs of doing in a part of a sentence about a log: each is held against its lines."""
    told = said.facts.lines or any(leaf.key == "operations_each" for leaf in said.facts.leaves)
    return frozenset(m.group().casefold() for m in _VERB.finditer(said.bare)) if told else frozenset()


def deed_claims(said: Utterance) -> Iterator[Claim]:
    """What a part of a sentence says was done, each with the evidence that tells it so."""
    named = [m for m in said.mentions if m.type in ("entity", "source")]
    lines = list(said.facts.lines)
    if not lines and not said.facts.entities:
        return
    verbs = list(verbs_of(said))
    subject: Mention | None = None
    told: list[Claim] = []
    for i, verb in enumerate(verbs):
        until = verbs[i + 1].start if i + 1 < len(verbs) else len(said.bare)
        claim, subject = _deed(said, verb, until, named, subject, lines, first=i == 0)
        if claim is not None:
            told.append(claim)
    yield from told
    yield from _by_whom(said, named, told)
    for left, right in pairwise(named):
        if any(c.start <= left.start and right.end <= c.end for c in told):
            continue
        between = said.text[left.end : right.start]
        if "→" in between:
            yield _link(said, left, right)
        elif (
            lines
            and _is_address(left) != _is_address(right)
            and not all(any(c.start <= m.start and m.end <= c.end for c in told) for m in (left, right))
            and not re.search(r"[.;:\n]", between)
        ):
            yield _met(left, right, lines)
        elif (
            "entity" in (left.type, right.type)
            and not any(left.end <= v.start < right.start for v in verbs)
            and not _NO_DEED.fullmatch(between)
            and not re.search(r";|\.\s", between)
        ):
            yield _relation(left, right, between, lines)


def verbs_of(said: Utterance) -> Iterator[Verb]:
    """The verbs of doing in a part of a sentence, in order."""
    for match in _VERB.finditer(said.bare):
        words = list(_DEEDS.values())[(match.lastindex or 1) - 1]
        by = re.match(r"\s+by\b", said.bare[match.end() :], re.I) is not None
        yield Verb(match.start(), match.end(), words, by or _AUXILIARY.search(said.bare[: match.start()]) is not None)


def _deed(said: Utterance, verb: Verb, until: int, named: Sequence[Mention], before: Mention | None,
          lines: Sequence[tuple[str, str]], *, first: bool) -> tuple[Claim | None, Mention | None]:  # fmt: skip
    """What a verb claims, and who is its subject; no claim where nobody of the log is named."""
    subject, pronoun = _subject(said, verb, named, before)
    if not first and before is None and re.search(r"\b(?:and|then)\W*$", _ADVERBS.sub("", said.bare[: verb.start]), re.I):
        subject, pronoun = None, True  # "It did this and did that"
    files = {name for e in said.facts.evidence for name in (e.source, getattr(e.locus, "sample", ""))}
    stop = re.search(r";|\.\s", said.bare[verb.end : until])
    until = verb.end + stop.start() if stop else until
    objects = [m for m in named if verb.end <= m.start < until and m.name not in files]
    if objects and until < len(said.bare) and objects[-1].end >= len(_AUXILIARY.sub("", said.bare[:until]).rstrip()):
        head = said.bare[objects[-2].end if len(objects) > 1 else verb.end : objects[-1].start]
        if re.search(r"[,;]|\b(?:before|after|and|while|when|then|but|once)\b", head, re.I):
            objects = objects[:-1]  # it is the subject of what follows
    if subject is None and not objects:
        return None, before
    if verb.passive:
        agents = [m for m in objects if re.search(r"\bby\s+(?:the\s+|both\s+)?(?:process\s+)?$", said.bare[: m.start], re.I)][:1]
        agents += [m for m in objects if agents and re.fullmatch(r"\s*,?\s*and\s*", said.bare[agents[0].end : m.start])]
        who, whom = agents, [*([subject] if subject else []), *(m for m in objects if m not in agents)]
    else:
        who, whom = ([subject] if subject else []), objects
    names = [m.name.casefold() for m in who]
    others = who[1:] if verb.passive else _also(said, subject, named) if subject is not None else []
    names = names[:1]
    if not names and pronoun:
        names = [basename(n).casefold() for n in said.context]
    told = [m.name.casefold() for m in whom]
    hit = {i for i, text in lines if _line_says(text, names, verb.words, told)}
    if not hit and len(told) > 1:  # one deed done to each of several
        each = [{i for i, text in lines if _line_says(text, names, verb.words, [one])} for one in told]
        hit = set.union(*each) if all(each) else set()
    for other in others:
        hit = hit if any(_line_says(text, [other.name.casefold()], verb.words, told) for _, text in lines) else set()
    if "opened" in verb.words and re.search(r"\bmemory\b", said.bare, re.I):
        of = [one for one in told if not one.startswith("0x")]
        hit = hit if all(any(f"memory of {one}" in text for _, text in lines) for one in of) else set()
    text = f"{' or '.join(names) or 'it'} {said.bare[verb.start : verb.end]} {', '.join(told)}".strip()
    ends = [verb.start, verb.end, *(x for m in (*who, *whom) for x in (m.start, m.end))]
    return Claim(start=min(ends), end=max(ends), type="deed", text=text, support=frozenset(hit),
                 problem=f"the evidence does not say that {text!r}"), subject  # fmt: skip


def _subject(said: Utterance, verb: Verb, named: Sequence[Mention], before: Mention | None) -> tuple[Mention | None, bool]:
    """Who a verb speaks of, by what stands before it: a name, a relative pronoun, or a conjunction; and whether it is a pronoun."""
    head = said.bare[: verb.start].rstrip()
    head = _AUXILIARY.sub("", f"{head} ").rstrip()
    relative = re.search(r"\b(?:which|who|that)\s*(?:\b(?:in turn|then|also|later|itself)\b[\s,]*)*$", head, re.I)
    head = _ADVERBS.sub("", head).rstrip()
    earlier = [m for m in named if m.end <= verb.start]
    inserted = before is not None and re.search(rf"\bby\s+{BLANK}+\s*,$", head) is not None  # "A, started by B, started C"
    if earlier and not inserted and re.search(rf"{BLANK}\W*$", head) and earlier[-1].end >= len(head.rstrip(" ,'\"”()")) - 1:
        return earlier[-1], False
    if relative and earlier:
        return earlier[-1], False
    if _PRONOUN.search(head) and before is None and not earlier:
        return None, True
    if before is not None and re.search(r"(?:\b(?:and|then|but|before|after|it|this)|[,;])\W*$", head, re.I):
        return before, False
    return (earlier[-1] if earlier else None), not earlier


def _also(said: Utterance, subject: Mention, named: Sequence[Mention]) -> list[Mention]:
    """The names joined to a subject by "and": each of them did it."""
    joined = [m for m in named if m.end <= subject.start and re.fullmatch(r"\s*,?\s*and\s*", said.bare[m.end : subject.start])]
    return [*joined, *(m for j in joined for m in _also(said, j, named))]


def _line_says(line: str, who: Sequence[str], words: Sequence[str], whom: Sequence[str]) -> bool:
    """Whether a line tells a deed of one of `who` (anybody when empty) done to all of `whom`."""
    for word in words:
        at = line.find(f" {word} ") if f" {word} " in line else len(line) - len(word) - 1 if line.endswith(f" {word}") else -1
        doer, rest = line[: max(at, 0)], line[at + len(word) + 2 :]
        if at > 0 and (not who or doer in who) and all(one in rest for one in whom):
            return True
    return False


def _by_whom(said: Utterance, named: Sequence[Mention], told: Sequence[Claim]) -> Iterator[Claim]:
    """A doer named with "by" must be told with a deed, or with the number of what it did."""
    for m in named:
        by = re.search(r"\bby\s+(?:the\s+)?\W{0,2}$", said.bare[: m.start], re.I)
        a, b = said.clause(m.start)
        counted = re.search(r"\d", said.bare[max(0, a - 40) : b]) and any(
            leaf.key.endswith("_each") for leaf in said.facts.leaves
        )
        if by and m.type == "entity" and not counted and not any(c.start <= m.start and m.end <= c.end for c in told):
            yield Claim(start=by.start(), end=m.end, type="deed", text=f"by {m.name}", support=frozenset(),
                        problem=f"the evidence does not say that it was done by {m.name!r}")  # fmt: skip


def _is_address(name: Mention) -> bool:
    return re.fullmatch(r"\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?", name.name) is not None


def _met(left: Mention, right: Mention, lines: Sequence[tuple[str, str]]) -> Claim:
    """An address and another name in one clause must meet in one line."""
    one, other = left.name.casefold(), right.name.casefold()
    hit = frozenset(i for i, text in lines if one in text and other in text)
    return Claim(start=left.start, end=right.end, type="deed", text=f"{one} … {other}", support=hit,
                 problem=f"the evidence does not join {one!r} and {other!r}")  # fmt: skip


def _link(said: Utterance, left: Mention, right: Mention) -> Claim:
    """Two names of a chain with an arrow between them stand in that order in the evidence."""
    hit = set()
    for item in said.facts.evidence:
        chain = [basename(str(n)).casefold() for n in getattr(item.locus, "entities", ())]
        first, second = basename(left.name).casefold(), basename(right.name).casefold()
        if any(a == first and b == second for a, b in pairwise(chain)):
            hit.add(item.id)
    hit |= {i for i, text in said.facts.lines if text.startswith(f"{left.name.casefold()} ") and right.name.casefold() in text}
    text = f"{left.name} → {right.name}"
    return Claim(
        start=left.start, end=right.end, type="deed", text=text, support=frozenset(hit), problem=f"the evidence has no {text}"
    )


def _relation(left: Mention, right: Mention, between: str, lines: Sequence[tuple[str, str]]) -> Claim:
    """Two names joined by words that are no known deed: the evidence must join them by the same words."""
    who, whom = left.name.casefold(), right.name.casefold()
    hit = frozenset(
        i for i, text in lines
        if text.startswith(f"{who} ") and whom in text[len(who) :]
        and plain(between) == text[len(who) + 1 : text.rfind(whom)].strip()
    )  # fmt: skip
    return Claim(start=left.start, end=right.end, type="deed", text=f"{who} → {whom}", support=hit,
                 problem=f"the evidence does not say that {who!r} did that to {whom!r}")  # fmt: skip


def cause_problems(said: Utterance, own: Sequence[str]) -> list[str]:
    """A cause that the evidence does not show; what it shows is the channel that carries most, the score, and its own reasons."""
    bare = _METHOD.sub(" ", said.bare)
    match = _CAUSE.search(bare)
    if match is None:
        return []
    if match.group().lower().startswith(("because", "due to", "since")) and _reasons(said, match.group().split()[0]):
        return []
    blamed = {m.name for m in said.mentions if m.type == "channel"}
    mains = {said.facts.main(i) for i in said.facts.findings}
    named = {m.name for m in said.mentions if m.type != "channel"}
    each = bool(re.search(r"\b(?:both|each|all)\b", said.bare, re.I))
    if len(blamed) == 1 and (blamed == mains if each else blamed <= mains) and not own and not named:
        return []
    by_score = re.search(r"\bscor\w+\b", said.bare) and re.search(r"\bthreshold\b|\b(?:above|below|over|under)\b", said.bare)
    if by_score and not own and not blamed and match.group().lower() in ("because", "due to", "therefore", "thus", "hence"):
        return []
    return ["it gives a cause that the evidence does not show; leave the cause out or cite what shows it"]


def _reasons(said: Utterance, word: str) -> bool:
    """Whether a grade is told with the reasons that the evidence gives for it: every word of them is the evidence's."""
    if not re.search(r"\b(?:minor|serious|critical|severity|rated|graded)\b", said.bare, re.I):
        return False
    given = " ".join(text for _, text in said.facts.text("severity_why"))
    tail = said.text.casefold().split(word.lower(), 1)[-1]
    words = [w for w in re.findall(r"[a-z]{3,}", tail) if w not in ("the", "and", "was", "were", "for", "that", "its", "it")]
    return bool(words) and bool(given) and all(re.search(rf"\b{w}", given) for w in words)
