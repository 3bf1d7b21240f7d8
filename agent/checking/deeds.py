"""Names of a sentence, who did what to whom, what caused what, and what came first."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from agent.checking.claims import Claim
from agent.checking.facts import Facts, basename, plain
from agent.checking.utterance import BLANK, Mention, Utterance
from agent.checking.words import is_plain
from agent.verify import CITATION, cited_ids

_IDENTIFIER = re.compile(
    r"(?<![\w`])(?:https?://\S+|www\.\S+|[\w.+-]+@[\w.-]+|[A-Za-z]:\\[^\s,;]+|/[\w./-]{3,}|\w+(?:[_.]\w+)+\w*|[A-Za-z]+[-]?\d+\w*|"
    r"\d+(?:\.\d+)?[A-Za-z]+\w*|[A-Z]{2,}\w*(?:-\d+)?|[a-z]+[A-Z]\w+|\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?|#\d+)"
)
_NO_NAME = re.compile(
    r"[xy]\d?|\d+\.\d+|\d+(?:\.\d+)?(?:s|m|h|min|ms|st|nd|rd|th|px|fps|x|A|V|W|K|am|pm|bar|kg|Hz|kHz)|\d+(?:\.\d+)?e[-+]?\d+",
    re.I,
)
_COMMON = frozenset((
    "AI", "UTC", "CSV", "OK", "ID", "TV", "CCTV", "CPU", "VLM", "PNG", "JPEG", "JSON", "API", "AM", "PM", "I", "MPEG",
    "RGB", "PDF", "HOG", "e.g", "i.e", "a.m", "p.m", "vs"
))  # fmt: skip
_PROPER = re.compile(r"(?<=[a-zà-ÿ0-9,;)▪] )([A-Z][a-zà-ÿ]+)\b")
_FIRST = re.compile(r"\W*(?!\w+ly\b)([A-Z][a-zà-ÿ]*[a-rt-zà-ÿ])\s+(?!yes\b)(?:then\s+|also\s+)?(?:[a-z]+(?:s|ed)|is|was|has)\b")
"""A name may open a sentence: a capital, no article, then a verb of one person."""
_ANYBODY = frozenset(("someone", "somebody", "something", "everyone", "everybody", "traffic", "nobody", "part"))
_DEEDS = {
    r"start\w*|launch\w*|spawn\w*|execut\w+|ran|runs?|creat\w+|open(?:ed|s) the process": ("started", "created"),
    r"open\w*|access\w*|read\w*|dump\w*": ("opened", "read"), r"writ\w+|wrote|drop(?:s|ped)|sav(?:es|ed)": ("wrote",),
    r"connect\w*|contact\w*": ("connected",), r"delet\w+|remov\w+|eras\w+": ("deleted", "removed"), r"load\w*": ("loaded",),
    r"look(?:s|ed) up|resolv\w+|quer\w+": ("looked up",),
    r"chang\w+|modif\w+|set|sets": ("changed", "set"), r"end(?:s|ed)|exit\w*": ("ended",),
    r"kill\w*|terminat\w*|stop\w*": ("killed", "terminated", "stopped"),
}  # fmt: skip
_NO_DEED = re.compile(
    rf"(?:\s|[,;:()→>–|/&{BLANK}-]|\b(?:and|or|then|to|with|by|in|of|from|the|a|an|via|row|rows|at|on|as|for|which|that|is|"
    rf"was|are|were|its?|"
    r"process(?:es)?|chain|file|ends?|ending|starts?|begins?|finding|address(?:es)?|host|after|before|most|often|tells?|tell|"
    r"says?|what|did|"
    r"made|connections?|of them|among|events?|rare|ordinary|earlier|later|followed|belongs?|suspicious|critical|serious|minor|"
    r"abnormal|unusual|"
    r"who|it|only|also|contains?|includes?|including|runs?|through|leads?|over|under|score[sd]?|threshold|against|\d[\d:.,-]*|"
    r"UTC))*",
    re.IGNORECASE,
)
_PASSIVE = re.compile(r"\b(?:was|is|were|been|being|got)\b[^.;]*\bby\b", re.I)
_CAUSE = re.compile(
    r"\b(?:because|caus\w+|due to|owing to|le(?:d|ads?) to|result(?:s|ed|ing)?(?: (?:in|from|of)|\b)|therefore|hence|thus|"
    r"trigger\w*|provok\w*|"
    r"responsible|blame\w*|stem(?:s|med)?|root cause|originat\w+|expla(?:in|ns?)\w*|that is why|which is why|reason\w*|so "
    r"that|thanks to|culprit|"
    r"consequen\w+|suggest\w*|indicat\w+|impl(?:y|ies|ied)|point(?:s|ed|ing)? (?:to|at|towards)|sign(?:s|al)? of|symptom\w*|"
    r"consistent with|"
    r"typical of|hint\w*|evidence (?:of|for)|diagnos\w+|brought about|comes? from|came from|making|made (?:the|it|them)|"
    r"ma(?:kes|de) (?:the|it|them|its)\b|"
    r"fault of|mistake|as if|driven by|produced by|arises?|arose|attribut\w+|linked to|related to|since (?:the|a|an|it|its|he|"
    r"she|they|someone)\b)\b",
    re.IGNORECASE,
)
_METHOD = re.compile(
    r"\bthreshold comes from\b|\b(?:because|since)\b[^.;]{0,24}\b(?:no (?:history|normal \w+)|you gave|the (?:bulk|log|"
    r"video))\b",
    re.I,
)
_ORDER = re.compile(
    r"\b(before|prior to|preced\w+|earlier than|after|follow(?:s|ed by|ed|ing)|later than|then|comes? first|"
    r"subsequently)\b",
    re.I,
)
_THAN = re.compile(r"\b(?:more|less|longer|shorter|higher|lower|stronger|weaker|worse|larger|smaller|bigger|earlier|later|"
                   r"greater|darker|brighter|"
                   r"faster|slower|\w+er|same|equal(?:ly)?|twice)\b[^.;]{0,30}\b(?:than|as)\b", re.I)  # fmt: skip
_THAN_ITSELF = re.compile(
    r"\bthan (?:the |its |their )?(?:usual|normal|threshold|surroundings|before|rest|others?)\b|\bas well as\b|\bmore than \d",
    re.I,
)
_MEASURES = {
    "long": "length_s", "short": "length_s", "strong": "score", "weak": "score", "high": "score", "low": "score",
    "sever": "severity_score", "wors": "severity_score", "serious": "severity_score", "confident": "confidence_percent",
    "certain": "confidence_percent",
}  # fmt: skip
"""What a comparison compares, by the beginning of its word."""


def name_problems(said: Utterance) -> list[str]:
    """The names of a part of a sentence that the evidence it cites does not have."""
    stated = [text for _, text in said.facts.texts] + [plain(leaf.owner) for leaf in said.facts.leaves if leaf.owner]
    stated += [name.casefold() for name in (*said.facts.channels, *said.facts.entities)]
    wrong = []
    for name in said.quoted:
        wanted = plain(name).rstrip("…").strip()
        if wanted and not any(
            re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", text) or (len(wanted) > 20 and wanted in text) for text in stated
        ):
            wrong.append(name)
    units = {leaf.unit for leaf in said.facts.leaves if leaf.unit}
    for match in _IDENTIFIER.finditer(said.bare):
        name = match.group().strip(".,:")
        if _NO_NAME.fullmatch(name) or name in _COMMON or name in units or re.fullmatch(r"E\d+", name):
            continue
        if not any(re.search(rf"(?<!\w){re.escape(plain(name))}(?!\w)", text) for text in stated):
            wrong.append(name)
    told = " ".join(text for _, text in said.facts.told)
    wrong += [m[1] for m in _PROPER.finditer(said.bare) if not re.search(rf"\b{m[1].casefold()}\b", told) and not is_plain(m[1])]
    first = _FIRST.match(said.bare)
    if first and not is_plain(first[1]) and first[1].casefold() not in told and first[1].casefold() not in _ANYBODY:
        wrong.append(first[1])
    return [f"the name {name!r} is not in the evidence it cites" for name in dict.fromkeys(wrong)]


def misspelt(word: str, facts: Facts) -> str:
    """The name that a word nearly is, or ""."""
    names = {part for n in (*facts.channels, *facts.entities) for part in re.findall(r"[a-z]{5,}", n.casefold())}
    close = difflib.get_close_matches(word, names - {word}, n=1, cutoff=0.82) if word not in names else []
    return close[0] if close and not close[0].startswith(word[:-1]) and not word.startswith(close[0]) else ""


def elsewhere(said: Utterance, everything: Facts) -> list[str]:
    """Channels and processes that the sentence names, of evidence that it does not cite."""
    low = said.bare.casefold()
    others = {n.casefold() for n in (*everything.channels, *everything.entities)}
    named = [
        n
        for n in sorted(others)
        for a in {n, n.replace("_", " ")}
        if a in low and re.search(rf"(?<![\w.]){re.escape(a)}(?![\w]|\.\w)", low)
    ]
    return [f"{n!r} is not in the evidence it cites" for n in named if n not in ("motion", "appearance")]


def name_claims(said: Utterance) -> list[Claim]:
    """The names of the evidence in a part of a sentence, with the evidence that has them."""
    found = []
    for m in (*said.mentions, *said.phrases):
        support = m.support
        mains = frozenset(i for i in said.facts.findings if said.facts.main(i) == m.name)
        if m.type == "channel" and mains and re.search(r"\b(?:spike|flatline|drift|dip|shift)s?\b", said.bare, re.I):
            support = mains
        found.append(Claim(start=m.start, end=m.end, type="name", text=m.name, support=support))
    return found


def deed_claims(said: Utterance) -> Iterator[Claim]:
    """Who did what to whom: what stands between two names of a log must be told so by one of its lines."""
    named = [m for m in said.mentions if m.type in ("entity", "source")]
    lines = list(said.facts.lines)
    if not lines and not said.facts.entities:
        return
    for left, right in pairwise(named):
        between = said.text[left.end : right.start]
        if "→" in between:
            yield _link(said, left, right)
            continue
        if _NO_DEED.fullmatch(between) and not re.search(r"\b(?:started?|runs?) (?:by )?$|\bby\b", between):
            continue
        yield _deed(said, left, right, between, lines)
    for i, only in enumerate(named):
        tail = said.bare[only.end : named[i + 1].start if i + 1 < len(named) else len(said.bare)]
        verb = re.match(rf"\s+(?:then\s+|also\s+)?({'|'.join(_DEEDS)})\b", tail, re.I)
        if verb and (i + 1 == len(named)) and only.name in said.facts.entities:
            wanted = next(words for forms, words in _DEEDS.items() if re.fullmatch(forms, verb[1], re.I))
            hit = frozenset(i for i, text in lines if any(text.startswith(f"{only.name} {w}") for w in wanted))
            yield Claim(start=only.start, end=only.end + verb.end(), type="deed", text=f"{only.name} {verb[1]}", support=hit,
                        problem=f"the evidence does not say that {only.name!r} {verb[1]} that")  # fmt: skip


def _link(said: Utterance, left: Mention, right: Mention) -> Claim:
    """Two names of a chain with an arrow between them stand in that order in the evidence."""
    hit = set()
    for item in said.facts.evidence:
        chain = [basename(str(n)).casefold() for n in getattr(item.locus, "entities", ())]
        first, second = basename(left.name).casefold(), basename(right.name).casefold()
        if any(a == first and b == second for a, b in pairwise(chain)):
            hit.add(item.id)
    text = f"{left.name} → {right.name}"
    return Claim(
        start=left.start, end=right.end, type="deed", text=text, support=frozenset(hit), problem=f"the evidence has no {text}"
    )


def _deed(said: Utterance, left: Mention, right: Mention, between: str, lines: list[tuple[str, str]]) -> Claim:
    who, whom = left.name.casefold(), right.name.casefold()
    passive = bool(_PASSIVE.search(between)) or bool(re.search(r"\bstarted by\b", between))
    if passive:
        who, whom = whom, who
    forms = [words for form, words in _DEEDS.items() if re.search(rf"\b(?:{form})\b", between, re.I)]
    wanted = [w for words in forms for w in words]
    hit = frozenset(
        i for i, text in lines
        if text.startswith(f"{who} ") and whom in text[len(who) :]
        and (any(text[len(who) + 1 :].startswith(w) for w in wanted) or plain(between) == text[len(who) + 1 : text.rfind(whom)].strip())
    )  # fmt: skip
    return Claim(start=left.start, end=right.end, type="deed", text=f"{who} → {whom}", support=hit,
                 problem=f"the evidence does not say that {who!r} did that to {whom!r}")  # fmt: skip


def cause_problems(said: Utterance, own: Sequence[str]) -> list[str]:
    """A cause that the evidence does not show; what it shows is the channel that carries most, the score, and its own reasons."""
    match = _CAUSE.search(_METHOD.sub(" ", said.bare))
    if match is None:
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


def order_problems(sentence: str, whole: Utterance) -> list[str]:
    """Two findings or two deeds told in an order, or compared, must be so in the evidence."""
    return [*_order(sentence, whole), *_comparison(whole)]


def _order(sentence: str, whole: Utterance) -> list[str]:
    match = _ORDER.search(whole.bare)
    if match is None:
        return []
    said = CITATION.split(sentence)
    word = match.group().lower()
    left, right = _when(whole, 0, match.start()), _when(whole, match.end(), len(whole.bare))
    if len(said) > 2 and len(cited_ids(sentence)) > 1:
        here = _ORDER.search(sentence)
        if here is not None:
            starts = {e.id: _first(whole.facts, e.id) for e in whole.facts.evidence}
            left = left or [t for i in cited_ids(sentence[: here.start()]) if (t := starts.get(i)) is not None]
            right = right or [t for i in cited_ids(sentence[here.end() :]) if (t := starts.get(i)) is not None]
    if not left and match.start() < 3 and word in ("after", "before"):  # "After A, B": the comma parts them
        comma = whole.bare.find(",", match.end())
        if comma > 0:
            left, right = _when(whole, comma, len(whole.bare)), _when(whole, match.end(), comma)
    if not left or not right:
        several = len(whole.facts.findings) > 1 or sum(m.type == "entity" for m in whole.mentions) > 2
        return (
            ["it tells an order that the evidence does not show"] if several and word not in ("after", "before", "then") else []
        )
    later = word.startswith(("after", "later")) or word in ("follows", "following") or (word == "followed" and "by" not in word)
    wrong = min(left) < max(right) if later else max(left) > min(right)
    return ["the evidence has them in another order"] if wrong or min(left) == max(right) else []


def _when(whole: Utterance, start: int, end: int) -> list[float]:
    """When what is named between two positions happened: the deed of its names, or the finding of its kind and channel."""
    facts = whole.facts
    names = [m.name.casefold() for m in whole.mentions if start <= m.start < end and m.type == "entity"]
    if names:
        times = [v for leaf, v in facts.numbers if leaf.key == "did_s" and all(n in leaf.owner.casefold() for n in names)]
        made = [
            v
            for leaf, v in facts.numbers
            if leaf.key == "did_s" and leaf.owner.casefold().split(" with ")[0].endswith(f"started {names[0]}")
        ]
        return made[:1] if len(names) == 1 and made else times[:1]
    found = []
    for item in facts.findings:
        kinds = {str(e.facts.get("kind") or "") for e in facts.evidence if e.id == item}
        if any(k and re.search(rf"\b{re.escape(k)}", whole.text[start:end], re.I) for k in kinds):
            found.append(_first(facts, item))
    return [t for t in found if t is not None]


def _first(facts: Facts, item: str) -> float | None:
    return min((v for leaf, v in facts.numbers if leaf.evidence == item and leaf.key in ("start_s", "first_s")), default=None)


def _comparison(whole: Utterance) -> list[str]:
    bare = _THAN_ITSELF.sub(lambda m: " " * len(m.group()), whole.bare)
    return [problem for match in _THAN.finditer(bare) for problem in _compared(whole, match)]


def _compared(whole: Utterance, match: re.Match[str]) -> list[str]:
    word = match.group().lower()
    measure = next((key for stem, key in _MEASURES.items() if stem in word), None)
    sides = (_finding_in(whole, 0, match.start()), _finding_in(whole, match.end(), len(whole.bare)))
    if measure is None or not all(sides):
        return ["it compares what the evidence does not compare"] if re.search(r"\bthan\b", word) else []
    values = [
        next((v for leaf, v in whole.facts.numbers if leaf.evidence == side and leaf.key == measure), None) for side in sides
    ]
    if values[0] is None or values[1] is None:
        return ["it compares what the evidence does not measure"]
    less = any(w in word for w in ("less", "short", "weak", "low"))
    return [] if (values[0] < values[1]) == less and values[0] != values[1] else ["the evidence has it the other way round"]


def _finding_in(whole: Utterance, start: int, end: int) -> str:
    facts = whole.facts
    photos = [m for m in whole.mentions if start <= m.start < end and m.type == "source" and len(m.support & facts.items) == 1]
    if photos:
        return next(iter(photos[0].support & facts.items))
    for item in facts.evidence:
        kind, text = str(item.facts.get("kind") or ""), whole.text[start:end]
        if item.id in facts.findings and kind and re.search(rf"\b{re.escape(kind)}", text, re.I):
            return item.id
    return ""
