"""Which things a message asks for: ordered rules over tidied text.

`read_intents` goes through the message sentence by sentence. Rules of higher rank come first and blank the words they explain, so
that "how do you know when it failed?" is a question about evidence and not about time. The intents come back in the order in
which the person asked. The rules themselves are lines of `agent/reading/phrases.txt`, in the order of their rank.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.question import INTENTS, Intent, Polarity, RuleDraft
from agent.reading.phrases import either, headed, word

_SENTENCE = re.compile(r"(?<=[?!;\n])\s+|(?<=[a-z0-9)\]]\.)\s+(?=\S)|\s*…\s*")
_CLAUSE = re.compile(r",\s+|;\s+|:\s+|\s+[-–—]\s+|\s+(?:and|but|then|also)\s+")
_QUESTION_WORD = re.compile(r"\b(?:when|where|which|who|why|how|whose)\b")
_NARROW: frozenset[Intent] = frozenset(("when", "where", "how_bad", "why", "which", "who", "how_many"))


_WH: frozenset[Intent] = frozenset(("when", "where", "why", "how_many"))


@dataclass(frozen=True, kw_only=True)
class IntentsFound:
    """Intents in the order asked, why a part is unsupported, and a definition if one was given."""

    intents: tuple[Intent, ...] = ()
    reason: str | None = None
    rule: RuleDraft | None = None


def read_intents(text: str) -> IntentsFound:
    """Read the intents of tidied `text` (see `agent.reading.tidy`).

    >>> read_intents("what is wrong here, when, and how bad?").intents
    ('what', 'when', 'how_bad')
    >>> read_intents("treat reflections as normal").rule
    RuleDraft(text='treat reflections as normal', subject='reflections', polarity='normal')
    """
    found: list[Intent] = []
    reason: str | None = None
    rule: RuleDraft | None = None
    for sentence in _SENTENCE.split(text):
        refused, rest = _refuse(sentence)
        draft = None if refused else read_rule(rest)
        if refused:
            reason = reason or refused
            found.append("unsupported")
        if draft is not None:
            rule = rule or draft
            found.append("define_rule")
        elif rest.strip():
            found += _sentence_intents(rest)
    ordered = list(dict.fromkeys(found))
    if len(ordered) > 1:
        ordered = [intent for intent in ordered if intent != "greeting"]
    if "overview" in ordered and set(ordered) & _NARROW and either("names the wrong").search(text):
        ordered = list(dict.fromkeys("what" if intent == "overview" else intent for intent in ordered))
    return IntentsFound(intents=tuple(ordered), reason=reason, rule=rule)


def _refuse(sentence: str) -> tuple[str | None, str]:
    """Why a part of the sentence cannot be done, and the sentence without the clauses that ask for it."""
    first: str | None = None
    for reason, pattern in headed("refuse"):
        for match in list(pattern.finditer(sentence)):
            borders = list(_CLAUSE.finditer(sentence))
            start = max((m.end() for m in borders if m.end() <= match.start() + 1), default=0)
            end = min((m.start() for m in borders if m.start() >= match.end()), default=len(sentence))
            first = first or reason
            sentence = sentence[:start] + "#" * (end - start) + sentence[end:]
    return first, sentence if first is None else sentence.replace("#", " ")


def _sentence_intents(sentence: str) -> list[Intent]:
    """Intents of one sentence by position; rules of higher rank blank the words they explain."""
    work = sentence.strip().rstrip(".")
    hits: list[tuple[int, Intent]] = []
    for name, pattern in headed("intent"):
        intent = next(known for known in INTENTS if known == name)
        for match in list(pattern.finditer(work)):
            if intent in ("overview", "is_normal") and _asked_otherwise(sentence.strip(), match):
                continue
            if intent == "what" and any(_one_clause(sentence, at, match.start()) for at, _ in hits):
                continue
            hits.append((match.start(), intent))
            work = work[: match.start()] + "#" * len(match[0]) + work[match.end() :]
    hits = [
        (at, i)
        for at, i in hits
        if i != "exists" or not any(other in _WH and a < at and _one_clause(sentence, a, at) for a, other in hits)
    ]  # "on which days were there problems?"
    if re.match(rf"(?:and |but |so )?{word('aux')}\b(?! (?:you|i|we)\b)", sentence.strip()):
        first = _CLAUSE.search(sentence.strip())
        if not any(first is None or at < first.start() for at, _ in hits):  # "was it opened, and by whom?"
            hits.append((0, "exists"))
    intents = list(dict.fromkeys(intent for _, intent in sorted(hits, key=lambda hit: hit[0])))
    return _settle(intents, sentence)


def _one_clause(sentence: str, a: int, b: int) -> bool:
    low, high = sorted((a, b))
    return not _CLAUSE.search(sentence.strip()[low:high])


def _asked_otherwise(work: str, match: re.Match[str]) -> bool:
    """True for "when does something unusual happen": the question word, not the oddness, says what is asked."""
    if re.match(r"what\b|summar|analy|overview|describe|how\b", match[0]):
        return False
    clause = _CLAUSE.split(work[: match.start()])[-1]
    return bool(_QUESTION_WORD.search(clause))


_TELLS: frozenset[Intent] = frozenset(("what", "which", "when", "why", "overview", "list", "how_many", "explain"))
"""With these, "show me" only means "tell me" unless a picture or curve is named."""
_DROPS: tuple[tuple[Intent, frozenset[Intent]], ...] = (
    ("overview", frozenset(("list", "is_normal", "export"))),
    ("exists", frozenset(("is_normal", "overview", "compare", "how_many", "which", "list"))),
    ("is_normal", frozenset(("explain",))),
    ("what", frozenset(("compare", "export", "overview"))),
    ("is_normal", frozenset(("compare",))),
    ("list", frozenset(("export",))),
    ("which", frozenset(("who",))),
)
"""(intent, what says it already in the same sentence)."""


def _settle(intents: list[Intent], sentence: str) -> list[Intent]:
    """Drop what another intent of the same sentence already says."""
    chosen = set(intents)
    dropped = {intent for intent, others in _DROPS if intent in chosen and chosen & others}
    if len(chosen) > 1:
        dropped.add("greeting")
    if {"show", "exists"} <= chosen and re.match(r"(?:and |but |so )?(?:do|does|did) (?!you\b)", sentence.strip()):
        dropped.add("show")  # "do any show cracks?"
    if "show" in chosen and ("export" in chosen or (chosen & _TELLS and not either("shows something").search(sentence))):
        dropped.add("show")
    if chosen == {"list", "how_bad"} and re.search(r"\bby severity\b", sentence):
        dropped.add("how_bad")
    if {"which", "why"} <= chosen and either("cause as a noun").search(sentence):
        dropped.add("why")
    return [intent for intent in intents if intent not in dropped]


def read_rule(sentence: str) -> RuleDraft | None:
    """The definition a sentence gives ("treat X as normal", "ignore …", "X is forbidden"), or None; questions give none.

    >>> read_rule("people on the tracks are forbidden")
    RuleDraft(text='people on the tracks are forbidden', subject='people on the tracks', polarity='anomaly')
    >>> read_rule("are people on the tracks forbidden?") is None
    True
    """
    text = sentence.strip()
    if text.endswith("?"):
        return None
    for title, pattern in headed("define"):
        match = pattern.search(text)
        if match is None:
            continue
        groups = match.groupdict()
        subject = groups["x"].strip(" .!,;:")
        polarity: Polarity = "normal" if title == "normal" else "anomaly"
        if title == "stated":
            polarity = said_polarity(groups.get("state") or text)
        if re.search(r"\b(?:do not|never|not) ignor", match[0]):
            polarity = "anomaly"
        if len(subject) >= 2:
            return RuleDraft(text=text.strip(" .!"), subject=subject, polarity=polarity)
    return None


def said_polarity(words: str) -> Polarity:
    """Whether a definition in these words makes something normal or an anomaly."""
    negated = bool(re.search(r"\b(?:not|never|no)\b", re.sub(rf"\b{word('normal')}", " ", words)))  # "of no importance" is normal
    if re.search(r"\b(?:flagged|reported|alarmed|marked)\b", words):
        return "normal" if negated else "anomaly"
    normal = (
        bool(re.search(rf"\b(?:{word('normal')}|ignored?|tolerated?|accept(?:ed)?|let (?:it|them|that|those) pass)\b", words))
        and "abnormal" not in words
    )
    return "normal" if normal != negated else "anomaly"
