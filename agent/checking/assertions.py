"""What a sentence asserts without a number: that all is well, how bad, what kind, where, which way a value went, what is first.

Each reader says which cited evidence bears an assertion out. They err on the strict side: a true sentence that is put too freely is
asked for again in the evidence's own words, a false one must not pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.checking.claims import Claim
from agent.checking.facts import Facts
from agent.checking.kinds import kind_claims
from agent.checking.utterance import Utterance

_FINE = re.compile(
    r"\b(?:normal(?:ly|ity)?|fine|ok|okay|healthy|safe(?:ly)?|good|clean|harmless|benign|unremarkable|as (?:it|they|one|"
    r"you)?\s?(?:is |are )?"
    r"(?:should|expected|intended|usual)|in (?:good |perfect |full )?order|false (?:alarm|positive)|intact|well|wor(?:ry|ries|"
    r"rying)|concern\w*|"
    r"innocent|innocuous|legitimate|smooth(?:ly)?|stable|unproblematic|flawless(?:ly)?|perfect(?:ly)?|all (?:is )?right|"
    r"alright|unaffected|"
    r"undamaged|trouble|faultless|inconspicuous|(?:is|are|looks?|seems?|just) (?:quite |all )?(?:ordinary|usual|typical|"
    r"routine)|"
    r"pass(?:es|ed)? (?:the |all |every )?(?:quality )?(?:checks?|tests?|inspections?|control)|approved|acceptable|(?:as|"
    r"like) (?:it )?(?:always|ever)|"
    r"routine|uneventful|unchanged|satisfactory|compliant|within (?:tolerance|limits|spec\w*)|up to standard)\b",
    re.IGNORECASE,
)
_BAD = re.compile(
    r"\b(?:abnormal\w*|anomal\w+|unusual\w*|wrong|fault|faults|faulty|defect\w*|suspicious\w*|odd|strange\w*|problem\w*|"
    r"issues?|"
    r"stands? out|irregular\w*|error|errors|alarming|weird)\b",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    r"\b(?:no|the|four|\d+|of|from|without|than|given|against|any|enough|as)?\s*normal (?:data|clips?|references?|examples?|"
    r"photos?|logs?|"
    r"series|ones|samples?|pictures?|videos?|scores?)\b|\bthan (?:normal|usual)\b|\bno (?:history|normal [a-z]+) (?:was|were) "
    r"given\b|"
    r"\bnot cost\b|\bcannot rebuild\b|\bno patch of\b|\bcombinations hardly occur\b|\bas well\b",
    re.IGNORECASE,
)
_NOT = re.compile(r"\b(?:no|not|none|nothing|never|neither|nor|without|hardly|cannot|nobody|lacks?|lacking|absent|absence|"
                  r"free of|fails? to|"
                  r"[a-z]+n['’]t)\b|\b0(?! (?:of|people)?\s*\d)(?= (?:findings?|anomal|stretch|events?|"
                  r"photos?))", re.IGNORECASE)  # fmt: skip
_SEVERITY: dict[str, tuple[str, ...]] = {
    "minor": ("minor",), "slight": ("minor",), "mild": ("minor",), "negligible": (), "trivial": (), "unimportant": (),
    "insignificant": (), "serious": ("serious",), "severe": ("serious", "critical"), "critical": ("critical",),
    "catastrophic": ("critical",), "extreme": ("critical",), "dangerous": ("critical",), "moderate": (), "major": ("critical",),
    "emergency": (), "urgent": (), "disastrous": (), "grave": (),
    "life-threatening": (), "fatal": (), "low severity": ("minor",), "high severity": ("serious", "critical"),
}  # fmt: skip
_GRADE = re.compile(rf"\b({'|'.join(map(re.escape, _SEVERITY))})(?:ly)?\b", re.IGNORECASE)
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
_UP = re.compile(
    r"\b(?:ris(?:es?|en|ing)|rose|increas\w+|climb\w*|jump\w*|surg\w+|soar\w*|grow\w*|grew|went up|goes up|shoots? up|"
    r"(?:higher|greater|larger|stronger) than (?:usual|normal|before)|above (?:its |the )?(?:usual|normal))\b",
    re.I,
)
_DOWN = re.compile(
    r"\b(?:fall(?:s|en|ing)?|fell|drop\w*|decreas\w+|declin\w+|sinks?|sank|plung\w+|went down|goes down|collaps\w+|(?:lower|"
    r"smaller|weaker|less) than (?:usual|normal|before)|below (?:its |the )?(?:usual|normal))\b",
    re.I,
)
_OVER = re.compile(
    r"\b(?:above|over|exceed\w*|pass(?:es|ed)|higher than|beyond|more than|crosse[sd])\b[^.;,]{0,18}\bthreshold", re.I
)
_UNDER = re.compile(r"\b(?:below|under|short of|lower than|less than|within)\b[^.;,]{0,18}\bthreshold", re.I)
_BEST = re.compile(
    r"\b(?:worst|strongest|most (?:severe|suspicious|serious|unusual|abnormal|striking|important|critical)|biggest|main|"
    r"primary|top)\b",
    re.I,
)
_LEAST = re.compile(r"\b(?:weakest|least|mildest|smallest|second[- ](?:worst|strongest))\b", re.I)
_ORDINAL = re.compile(
    r"(?:\b(?:the|its|this|c[oa]mes?|came|is|was|happen(?:s|ed)|start(?:s|ed)|beg[ia]ns?)\s+|^\W*)(first|second|third|fourth|"
    r"fifth|sixth|seventh|eighth|ninth|tenth|last|\d+(?:st|nd|rd|th))\b"
    r"(?!\s+(?:row|to\b|time|reading|step|half))(?=\s|,|$|\.)",
    re.IGNORECASE,
)
_SURE = re.compile(r"\b(?:sure|certain|confident|definite(?:ly)?|undoubtedly|doubt(?:less)?|proven|proves?|guaranteed)\b", re.I)
_ORDINALS = {
    w: i + 1
    for i, w in enumerate(["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"])
}
_FRACTION = re.compile(r"\bmost of\b|\b(?:doubl|tripl|quadrupl|halv)\w+|\b\w+fold\b|\b(?:half|halves|thirds?|quarters?|"
                       r"fifths?|tenths?|fourths?|majority|minority|twice|double|triple|thrice|several|many|"
                       r"few|dozens|hundreds|thousands|countless|numerous|lots?|multiple|crowds?)\b(?=\s+(?:of|as|the|\w+s\b|"
                       r"gathers?|people))|"
                       r"\b(?:a|an|one|two|three|\d) (?:third|quarter|fifth|tenth|half|halves|thirds|"
                       r"quarters)\b", re.I)  # fmt: skip


def assertion_claims(said: Utterance) -> list[Claim]:
    """The claims of a part of a sentence that need no number."""
    return [
        *_verdict(said),
        *_severity(said),
        *kind_claims(said),
        *_places(said),
        *_directions(said),
        *_ranks(said),
        *_amounts(said),
    ]


def abnormal(facts: Facts) -> dict[str, bool]:
    """Whether each piece of evidence says that something is abnormal (True) or that nothing is (False); others are left out."""
    found: dict[str, bool] = {}
    for item in facts.evidence:
        flagged = item.facts.get("flagged")
        counts = [
            v
            for key in ("events", "findings", "flagged")
            if isinstance(v := item.facts.get(key), int) and not isinstance(v, bool)
        ]
        if item.facts.get("label") or flagged is True:
            found[item.id] = True
        elif flagged is False or (
            item.facts.get("what") and item.score is not None and item.threshold and item.score < item.threshold
        ):
            found[item.id] = False
        elif counts and item.score is not None:
            found[item.id] = any(counts[:1]) or ("findings" in item.facts and bool(item.facts["findings"]))
    return found


def _claim(match: re.Match[str], type_: str, support: frozenset[str], problem: str) -> Claim:
    return Claim(start=match.start(), end=match.end(), type=type_, text=match.group().strip(), support=support, problem=problem)


def _verdict(said: Utterance) -> Iterator[Claim]:
    bare = _REFERENCE.sub(lambda m: " " * len(m.group()), said.bare)
    states = abnormal(said.facts)
    yes = frozenset(i for i, bad in states.items() if bad)
    no = frozenset(i for i, bad in states.items() if not bad)
    for match in re.finditer(
        r"\babnormal (?:ones|examples?|references?|data|clips?|logs?)\b|\bpatch of the abnormal photos\b", said.bare, re.I
    ):
        yield _claim(match, "verdict", frozenset(), "the references are normal ones")
    negations = [
        m
        for m in _NOT.finditer(bare)
        if not re.match(r"no,? it does not look so|not (?:enough to read)", bare[m.start() :], re.I)
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
            yield _claim(match, "verdict", support if not (says_fine and yes) or _ordinary(said, match) else frozenset(),
                         f"it says that {what}, which the evidence it cites does not")  # fmt: skip
    for match in negations:
        tail = bare[match.start() : match.start() + 60]
        if match.start() in used:
            continue
        passes = re.match(
            r"(?:no|none|nothing|not a single|0)\b[^.;]{0,40}\b(?:pass\w*|happen\w*|found|exceed\w*|reach\w*|detected|seen)\b",
            tail,
            re.I,
        )
        support = no if passes and not yes else frozenset()
        yield _claim(
            match, "verdict", support, f"{match.group()!r}: the evidence cannot show that something is not so; say what it shows"
        )


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
        yield _claim(
            match,
            "severity",
            frozenset(i for i, text in levels if text in wanted),
            f"the evidence does not grade it {match[1]!r}",
        )


def _places(said: Utterance) -> Iterator[Claim]:
    matches = [m for m in _PLACE.finditer(said.bare) if not _not_a_place(said.bare, m)]
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
    for match in _OTHER_PLACE.finditer(said.bare):
        word = match.group().lower().rstrip("s")
        hit = {i for i, text in said.facts.text("place", "where") if word in text}
        if word == "corner":
            hit |= {i for i, text in said.facts.text("place") if len({_SIDES[w] for w in text.split() if w in _SIDES}) == 2}
        yield _claim(match, "place", frozenset(hit), f"the evidence does not place it at the {word}")


def _not_a_place(bare: str, match: re.Match[str]) -> bool:
    """`to the right value`, `on top of that`, `lower than`, `the upper limit`."""
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
            hit = frozenset(
                i for i, of in changes.items()
                if any((o in near or (not near and o == said.facts.main(i))) and sign * (b - a) > 0 for o, (a, b) in of.items())
            )  # fmt: skip
            yield _claim(match, "direction", hit, f"the evidence does not show that it {match.group().lower()}")
    scores = {e.id: (e.score, e.threshold) for e in said.facts.evidence if e.score is not None and e.threshold is not None}
    for pattern, sign in ((_OVER, 1), (_UNDER, -1)):
        for match in pattern.finditer(said.bare):
            denied = re.search(r"\b(?:no|not|nothing|none|never)\b[^.;,]{0,20}$", said.bare[: match.start()], re.I)
            wanted = -sign if denied else sign
            hit = frozenset(i for i, (score, threshold) in scores.items() if wanted * (score - threshold) > 0)
            yield _claim(match, "direction", hit, "the evidence has the score on the other side of the threshold")


def _ranks(said: Utterance) -> Iterator[Claim]:
    facts = said.facts
    ranks = {leaf.evidence: v for leaf, v in facts.numbers if leaf.key == "rank" and leaf.evidence in facts.findings}
    totals = [v for leaf, v in facts.numbers if leaf.key in ("findings_total", "flagged_total")]
    for match in _BEST.finditer(said.bare):
        if re.match(
            r"\s*(?:of|left|right|moment|reading|"
            r"peak)\b",
            said.bare[match.end() :],
            re.I,
        ) and match.group().lower() in (
            "top",
            "strongest",
        ):
            continue
        if facts.findings or match.group().lower() not in ("main", "top", "primary"):
            yield _claim(
                match, "rank", frozenset(i for i, v in ranks.items() if v == 1), "the evidence cited is not the first in rank"
            )
    for match in _LEAST.finditer(said.bare):
        wanted = 2 if match.group().lower().startswith("second") else max(totals, default=0)
        if re.match(r"\s*(?:moment|point|frame|reading|time)", said.bare[match.end() :], re.I):
            wanted = 0
        wanted = wanted if wanted > 1 else 0
        yield _claim(match, "rank", frozenset(i for i, v in ranks.items() if v == wanted), "the evidence cited has another rank")
    for match in _ORDINAL.finditer(said.bare):
        word = match[1].lower()
        wanted = _ORDINALS.get(word) or (max(totals, default=0) if word == "last" else int(re.sub(r"\D", "", word)))
        hit = {i for i, v in ranks.items() if v == wanted}
        starts = sorted((leaf_v, i) for i in facts.findings for leaf_v in [_start(facts, i)] if leaf_v is not None)
        if len(starts) > 1 and wanted <= len(starts):
            hit |= {starts[int(wanted) - 1][1]}
        yield _claim(match, "ordinal", frozenset(hit), f"the evidence cited is not the {word}")


def _start(facts: Facts, item: str) -> float | None:
    return min((v for leaf, v in facts.numbers if leaf.evidence == item and leaf.key in ("start_s", "first_s")), default=None)


def _amounts(said: Utterance) -> Iterator[Claim]:
    for match in _FRACTION.finditer(said.bare):
        yield _claim(match, "amount", frozenset(), f"{match.group()!r} is not an amount the evidence gives; use its number")
    for match in _SURE.finditer(said.bare):
        if not re.search(r"\d", said.bare):
            yield _claim(match, "confidence", frozenset(), f"{match.group()!r}: say how sure by the evidence's number")
