"""What a sentence asserts without a number: that all is well, how bad, what kind, where, which way a value went, what is first.

Each reader says which cited evidence bears an assertion out. They err on the strict side: a true sentence that is put too freely is
asked for again in the evidence's own words, a false one must not pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from agent.checking.claims import Claim, claimed
from agent.checking.comparisons import comparison_claims
from agent.checking.facts import Facts, basename, plain
from agent.checking.kinds import kind_claims
from agent.checking.phrases import phrases
from agent.checking.utterance import IN_PICTURE, Utterance

_FINE = phrases("fine")
_BAD = phrases("wrong")
_REFERENCE = phrases("reference")
_REFERENCES = frozenset(("normal_photos", "normal_series", "normal_clips", "normal_logs"))
_GIVEN = re.compile(r"\bnormal (?:data|clips?|references?|examples?|logs?|series|samples?|videos?|recordings?)\b", re.I)
_NOT = phrases("not")
_SEVERITY: dict[str, tuple[str, ...]] = {
    "minor": ("minor",), "slight": ("minor",), "mild": ("minor",), "negligible": (), "trivial": (), "unimportant": (),
    "insignificant": (), "serious": ("serious",), "severe": ("serious", "critical"), "critical": ("critical",),
    "catastrophic": ("critical",), "extreme": ("critical",), "dangerous": ("critical",), "moderate": (), "major": ("critical",),
    "emergency": (), "urgent": (), "disastrous": (), "grave": (),
    "life-threatening": (), "fatal": (), "low severity": ("minor",), "high severity": ("serious", "critical"),
}  # fmt: skip
_GRADE = re.compile(rf"\b(?!slightly\b)(?<!its )(?<!an )({'|'.join(map(re.escape, _SEVERITY))})(?:ly)?\b", re.IGNORECASE)
_SIDES = {"top": "top", "upper": "top", "bottom": "bottom", "lower": "bottom", "left": "left", "right": "right"}
_CENTRE = frozenset(("centre", "center", "middle", "central"))
_PLACE = re.compile(
    r"\b(?:at|in|on|near|to|towards?|from|the|of|lower|upper|top|bottom|middle|far|very|is|,|-)\s*[- ]?(?:the\s+)?(?:far\s+|very\s+)?"
    r"(top|upper|bottom|lower|left|right|cent(?:re|er)|middle|central)\b|"
    r"\b(top|upper|bottom|lower|left|right|middle)"
    r"(?=[- ](?:left|right|hand|side|corner|edge|half|part|third|quarter|of the (?:picture|image|frame|photo|screen)))",
    re.IGNORECASE,
)
_OTHER_PLACE = re.compile(r"\b(?:corners?|edges?|borders?|background|foreground|quadrant)\b", re.I)
_UP = phrases("up")
_DOWN = phrases("down")
_OVER = re.compile(
    r"\b(?:above|over|exceed\w*|pass(?:es|ed)|higher than|beyond|more than|crosse[sd])\b[^.;,]{0,18}\b(?:threshold|limit)\b", re.I
)
_UNDER = re.compile(r"\b(?:below|under|short of|lower than|less than|within)\b[^.;,]{0,18}\b(?:threshold|limit)\b", re.I)
_OVER_NUMBER = re.compile(r"\b(?:above|over|exceed\w*|(?:higher|more|greater) than|beyond)\s+(?=\d)", re.I)
_UNDER_NUMBER = re.compile(r"\b(?:below|under|(?:lower|less|smaller) than|short of)\s+(?=\d)", re.I)
_SURE = re.compile(r"\b(?:sure|certain|confident|definite(?:ly)?|undoubtedly|doubt(?:less)?|proven|proves?|guaranteed)\b", re.I)


def assertion_claims(said: Utterance) -> list[Claim]:
    """The claims of a part of a sentence that need no number."""
    return [
        *_verdict(said),
        *_severity(said),
        *kind_claims(said),
        *_places(said),
        *_directions(said),
        *_confidence(said),
        *comparison_claims(said),
        *_references(said),
        *_states(said),
    ]


def abnormal(facts: Facts) -> dict[str, bool]:
    """Whether each piece of evidence says that something is abnormal (True) or that nothing is (False); others are left out."""
    found: dict[str, bool] = {}
    for item in facts.evidence:
        flagged = item.facts.get("flagged")
        counts = [
            v
            for key in (("findings",) if "actors" in item.facts else ("events", "findings", "flagged"))
            if isinstance(v := item.facts.get(key), int) and not isinstance(v, bool)
        ]
        below = item.score is not None and item.threshold is not None and item.score < item.threshold
        if flagged is True or (item.facts.get("label") and not below):
            found[item.id] = True
        elif flagged is False or (below and (item.facts.get("what") or item.facts.get("label"))):
            found[item.id] = False
        elif item.facts.get("incidents"):
            found[item.id] = True
        elif counts and item.score is not None:
            found[item.id] = any(counts[:1]) or ("findings" in item.facts and bool(item.facts["findings"]))
    return found


def _references(said: Utterance) -> Iterator[Claim]:
    """Whether there were normal examples to compare with, or none."""
    counts = {leaf.evidence: v > 0 for leaf, v in said.facts.numbers if leaf.key in _REFERENCES}
    had = {e.id: counts.get(e.id, e.calibrated) for e in said.facts.evidence if e.threshold is not None}
    for match in _GIVEN.finditer(said.bare):
        a, _ = said.clause(match.start())
        head = said.bare[a : match.start()]
        if re.search(r"\b(?:give|add|provide)\s+(?:\w+\s+)?$", head, re.I):
            continue  # advice
        denied = re.search(r"\b(?:no|not|without|lack\w*|never|any|nor)\b|n['’]t\b", head, re.I) is not None
        hit = frozenset(i for i, some in had.items() if some != denied)
        yield claimed(match, "reference", hit, "the evidence says otherwise of normal examples")


def _verdict(said: Utterance) -> Iterator[Claim]:
    bare = _REFERENCE.sub(lambda m: " " * len(m.group()), said.bare)
    states = abnormal(said.facts)
    yes = frozenset(i for i, bad in states.items() if bad)
    no = frozenset(i for i, bad in states.items() if not bad)
    for match in re.finditer(
        r"\babnormal (?:ones|examples?|references?|data|clips?|logs?)\b|\bheld-out abnormal\b|\bpatch of the abnormal photos\b",
        said.bare,
        re.I,
    ):
        yield claimed(match, "verdict", frozenset(), "the references are normal ones")
    still = [c for c in kind_claims(said) if c.support and "not" in c.text]
    negations = [
        m
        for m in _NOT.finditer(bare)
        if not any(c.start <= m.start() < c.end for c in still)
        and not re.match(r"no,? it does not look so|not (?:enough to read|a cause)", bare[m.start() :], re.I)
    ]
    used: set[int] = set()
    if re.match(r"\W*(?:no, it does not look so|no, not as far as)", bare, re.I) and yes:
        used |= {m.start() for m in negations if m.start() < 24}
    for pattern, good in ((_FINE, True), (_BAD, False)):
        for match in pattern.finditer(bare):
            word = match.group().lower()
            over = [
                m for m in negations if m.start() < match.start() and not re.search(r"[.;:]\s|,", bare[m.end() : match.start()])
            ]
            used |= {m.start() for m in over}
            if word.startswith(("worr", "concern", "trouble", "wrong")) and over:
                says_fine = True
            elif word.startswith(("worr", "concern", "trouble")):
                says_fine = False
            else:
                says_fine = good != (len(over) % 2 == 1)
            support = no if says_fine else yes
            if says_fine and _ordinary(said, match):
                support = yes | no
            what = "nothing is wrong" if says_fine else "something is wrong"
            yield claimed(match, "verdict", support if not (says_fine and yes) or _ordinary(said, match) else frozenset(),
                         f"it says that {what}, which the evidence it cites does not")  # fmt: skip
    for match in negations:
        tail = bare[match.start() : match.start() + 60]
        if match.start() in used:
            continue
        if found := re.search(r"\b(?:flagged|found|reported|detected|reports|finds)\s+$", bare[: match.start()], re.I):
            tail = f"{match.group()} {found.group()}{tail[len(match.group()) :]}"
        if re.match(r"(?:no|none)\b[^.;]*\brare\b", tail, re.I):
            yield claimed(
                match,
                "verdict",
                frozenset(i for i, text in said.facts.text("severity_why") if "none of its" in text),
                "some are rare",
            )
            continue
        if (left := _rest(said, match)) is not None:
            yield claimed(match, "verdict", left, "the evidence does not say that of the rest")
            continue
        support = frozenset() if yes else frozenset(i for i in no if _denies(said, match.group(), tail, i))
        yield claimed(
            match, "verdict", support, f"{match.group()!r}: the evidence cannot show that something is not so; say what it shows"
        )


_FLAGGED = re.compile(
    r"no (?:findings?|anomal\w+|abnormal \w+)\b|(?:no|none|nothing|not a single|0)\b[^.;]{0,40}\b(?:pass\w*|happen\w*|"
    r"found|exceed\w*|reach\w*|detected|seen|flagged|got past|gets past|reports?|reported)\b|"
    r"(?:not|[a-z]+n['’]t) (?:been |be |itself )?(?:flagged|above|over|(?:reach|exceed|pass|cross)\w* (?:the|its) threshold)\b",
    re.I,
)


def _denies(said: Utterance, word: str, tail: str, item: str) -> bool:
    """Whether "was not flagged", "nothing was found" is what an unflagged piece of evidence says: of itself, never of anything else."""
    whole = word.lower() in ("no", "none", "nothing", "0")
    of_one = any(e.id == item and e.locus.kind == "region" for e in said.facts.evidence)
    if len(_NOT.findall(re.split(r"[.;:]\s|,", tail)[0])) > 1:
        return False
    return _FLAGGED.match(tail) is not None and not (whole and of_one) and not re.search(r"\b(?:other|else|rest)\b", tail, re.I)


def _states(said: Utterance) -> Iterator[Claim]:
    """Photos that a sentence calls flagged must each be so in the evidence."""
    flagged = {text for _, text in said.facts.text("flagged_names")}
    states = {plain(str(e.facts.get("sample") or getattr(e.locus, "sample", ""))): e.facts.get("flagged") is True
              for e in said.facts.evidence if e.locus.kind == "region"}  # fmt: skip
    photos = [m for m in said.mentions if plain(m.name) in flagged | set(states)]
    calls = re.search(r"\b(?:flagged|defective|abnormal)\b", said.bare, re.I)
    if calls is None or _NOT.search(said.bare) or not photos:
        return
    for photo in photos:
        name = plain(photo.name)
        hit = photo.support if name in flagged or states.get(name) else frozenset()
        yield Claim(start=photo.start, end=photo.end, type="state", text=photo.name, support=hit,
                    problem=f"the evidence does not call {photo.name} {calls.group().lower()}")  # fmt: skip


def _rest(said: Utterance, match: re.Match[str]) -> frozenset[str] | None:
    """What "… and one was not", "is not part of the finding" rest on; None for any other "not"."""
    head, tail = said.bare[: match.start()], said.bare[match.end() :]
    if (number := re.search(r"\b(one|\d+)\s+(?:was|were|is|are)\s+$", head, re.I)) and re.match(r"\W*$", tail):
        left = 1.0 if number[1].lower() == "one" else float(number[1])
        return frozenset(leaf.evidence for leaf, v in said.facts.numbers if leaf.key == "ordinary" and v == left)
    if re.match(r"\s*part of the (?:finding|chain)\b", tail, re.I):
        named = {m.name.casefold() for m in said.mentions if m.type == "entity"}
        own = {i for i, text in said.facts.text("entity") if basename(text) in named}
        return frozenset(i for i, bad in abnormal(said.facts).items() if not bad and i in own)
    return None


def _ordinary(said: Utterance, match: re.Match[str]) -> bool:
    """Whether a count of photos that are not flagged stands in the same clause as the word."""
    numbers = {v for leaf, v in said.facts.numbers if leaf.key == "ordinary"}
    a, b = said.clause(match.start())
    return any(float(n) in numbers for n in re.findall(r"\b\d+\b", said.bare[a:b]))


def _severity(said: Utterance) -> Iterator[Claim]:
    levels = said.facts.text("severity")
    for match in _GRADE.finditer(said.bare):
        if re.search(r"\b(?:most|more|less|least)\s+$", said.bare[: match.start()], re.I):
            continue
        wanted = _SEVERITY[match[1].lower()]
        yield claimed(
            match,
            "severity",
            frozenset(i for i, text in levels if text in wanted),
            f"the evidence does not grade it {match[1]!r}",
        )


def _places(said: Utterance) -> Iterator[Claim]:
    bare = (
        re.sub(r"\bfrom (?:left to right|right to left)\b", lambda m: " " * len(m.group()), said.bare)
        if IN_PICTURE.search(said.text)
        else said.bare
    )
    matches = [m for m in _PLACE.finditer(bare) if not _not_a_place(bare, m)]
    words = [
        w
        for m in matches
        for w in re.findall(r"top|upper|bottom|lower|left|right|cent(?:re|er)|middle|central", m.group().lower())
    ]
    if matches:
        sides = {_SIDES[w] for w in words if w in _SIDES}
        hit = set()
        for item, text in said.facts.text("place", "where"):
            stated = {_SIDES[w] for w in re.findall(r"\w+", text) if w in _SIDES}
            centred = bool(_CENTRE & set(re.findall(r"\w+", text)))
            if sides <= stated and (sides or not stated) and (centred or not _CENTRE & set(words)):
                hit.add(item)
        text = " ".join(words)
        yield Claim(start=matches[0].start(), end=matches[-1].end(), type="place", text=text, support=frozenset(hit),
                    problem=f"the evidence does not place it {text}")  # fmt: skip
    for match in () if IN_PICTURE.search(said.text) else _OTHER_PLACE.finditer(said.bare):
        word = match.group().lower().rstrip("s")
        hit = {i for i, text in said.facts.text("place", "where") if word in text}
        if word == "corner":
            hit |= {i for i, text in said.facts.text("place") if len({_SIDES[w] for w in text.split() if w in _SIDES}) == 2}
        yield claimed(match, "place", frozenset(hit), f"the evidence does not place it at the {word}")


def _not_a_place(bare: str, match: re.Match[str]) -> bool:
    """`to the right value`, `on top of that`, `lower than`, `the upper limit`, `the score is lower`."""
    if re.search(r"\b(?:is|are|was|were) lower$", match.group(), re.I) and re.search(
        r"\bscor\w+|\bvalue|\bshare", bare[: match.end()], re.I
    ):
        return True
    return bool(
        re.match(
            r"\s+(?:than|limit|value|values|threshold|of (?:that|this|it)|score|at once|severity)\b", bare[match.end() :], re.I
        )
    )


def _directions(said: Utterance) -> Iterator[Claim]:
    changes: dict[str, dict[str, tuple[float, float]]] = {}
    values = {(leaf.evidence, leaf.owner, leaf.key): v for leaf, v in said.facts.numbers if leaf.key in ("before", "peak")}
    for (item, owner, key), v in values.items():
        if key == "before" and (item, owner, "peak") in values:
            changes.setdefault(item, {})[owner] = (v, values[item, owner, "peak"])
    for pattern, sign in ((_UP, 1), (_DOWN, -1)):
        for match in pattern.finditer(said.bare):
            if not changes and not re.search(r"usual|normal|before", match.group(), re.I):
                continue
            named = {m.name for m in said.mentions if m.type == "channel"}
            near = said.owner(match.start(), match.end()) or named
            usual = _against_usual(said, near, sign) if re.search(r"usual|normal", match.group(), re.I) else frozenset()
            hit = usual or frozenset(
                i for i, of in changes.items()
                if any((o in near or (not near and o == said.facts.main(i))) and sign * (b - a) > 0 for o, (a, b) in of.items())
            )  # fmt: skip
            yield claimed(match, "direction", hit, f"the evidence does not show that it {match.group().lower()}")
    scores = {e.id: (e.score, e.threshold) for e in said.facts.evidence if e.score is not None and e.threshold is not None}
    limits = [f"{threshold:g}" for _, threshold in scores.values()]
    for pattern, sign in ((_OVER, 1), (_UNDER, -1), (_OVER_NUMBER, 1), (_UNDER_NUMBER, -1)):
        for match in pattern.finditer(said.bare):
            number = re.match(r"\d+(?:\.\d+)?", said.bare[match.end() :])
            if number and not any(
                abs(float(number[0]) - float(limit)) <= 0.5 * 10.0 ** -len(number[0].partition(".")[2]) for limit in limits
            ):
                continue  # it is held against another number than the threshold
            denied = re.search(r"\b(?:no|not|nothing|none|never)\b[^.;,]{0,20}$", said.bare[: match.start()], re.I)
            wanted = -sign if denied else sign
            hit = frozenset(
                i
                for i, (score, threshold) in scores.items()
                if wanted * (score - threshold) > 0 or (sign < 0 and _ordinary(said, match))
            )
            yield claimed(match, "direction", hit, "the evidence has the score on the other side of the threshold")


def _against_usual(said: Utterance, owners: Iterable[str], sign: int) -> frozenset[str]:
    """The evidence in which the mean of a channel lies above or below what is usual for it."""
    values = {(leaf.evidence, leaf.owner, leaf.key): v for leaf, v in said.facts.numbers if leaf.key in ("mean", "usual")}
    return frozenset(
        item for (item, owner, key), v in values.items()
        if key == "mean" and owner in owners and (item, owner, "usual") in values and sign * (v - values[item, owner, "usual"]) > 0
    )  # fmt: skip


def _confidence(said: Utterance) -> Iterator[Claim]:
    for match in _SURE.finditer(said.bare):
        if not re.search(r"\d", said.bare):
            yield claimed(match, "confidence", frozenset(), f"{match.group()!r}: say how sure by the evidence's number")
