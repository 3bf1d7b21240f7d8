"""The embedded tier's answer: which sentences a question gets, from investigations and lookups, each citing its evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from agent.accounts.account import Account
from agent.grammar import NO_FILES
from agent.investigation import Finding, Investigation
from agent.question import Intent, Request
from agent.reading.phrases import either
from agent.telling import events, image, lookup, series, video
from agent.telling.voices import VOICES
from agent.telling.words import cite, count, fact_number, how_bad, listed, moment, name, number
from core.evidence import Evidence, Interval
from prompts.loader import render
from tools.catalog import catalogue

MOST_TOLD = {"image": 10, "video": 5, "series": 5, "events": 5}
"""Findings told per source unless more are asked for."""
MOST_LISTED = 25
"""Findings told when a list is asked for."""
MOST_EXPLAINED = 3
"""Findings per source whose whole account is told; all photos'."""
MOST_TOUCHED = 5
LONGEST_REMARK = 200
MOST_SOURCES = 5
"""Sources told in one answer; of more, the worst."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An answer before the check: `remarks` are fixed texts about Telltale itself, `lines` state something and cite evidence.

    `shown` are the evidence ids whose pictures belong to it.
    """

    remarks: tuple[str, ...]
    lines: tuple[str, ...]
    shown: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Material:
    """Everything an answer may use: numbered investigations, lookups made for this question, and what could not be done."""

    request: Request
    investigations: Sequence[Investigation]
    fresh: frozenset[str] = frozenset()
    """Names of sources investigated in this turn: their method is explained."""
    lookups: Sequence[Evidence] = ()
    remarks: Sequence[Evidence] = ()
    """How the question was read and what could not be read or judged, each a sentence kept as evidence."""
    ruled: Sequence[str] = ()
    """What the person's rules found and made normal, as lines."""
    emptied: bool = False
    """Nothing of the detectors' findings is left after the rules."""
    account: Callable[[Investigation, Finding], Account] | None = None
    """Makes the account of a finding that a question asks why about."""
    shown: list[str] = field(default_factory=list)


def write(material: Material) -> Draft:
    """Write the draft for one question."""
    request = material.request
    remarks = [line for intent in request.intents if intent in _TALK for line in _TALK[intent](material)]
    if request.sensitivity:
        remarks.append(
            "I cannot move the threshold by words yet; it comes from normal examples, so give more of those to change it."
        )
    said = {
        kind: [f"_{r.facts['said']}_ {cite(r)}" for r in material.remarks if (r.tool == "reading") == kind]
        for kind in (False, True)
    }
    lines = said[False]  # what went wrong comes first, how files were read comes last
    asked = [i for i in request.intents if i not in _TALK]
    if asked:
        for evidence in material.lookups:
            lines += lookup.tell(evidence)
            material.shown.append(evidence.id)
        if not (material.lookups and _answered_by_lookup(request)):
            addressed = _addressed(material)
            lines += _comparison(material) if "compare" in asked else []
            for inv in sorted(addressed, key=_worst)[:MOST_SOURCES] if len(addressed) > MOST_SOURCES else addressed:
                lines += _about(inv, asked, material)
            if len(addressed) > MOST_SOURCES:
                lines.append("The other files show nothing worse; name one to hear about it.")
        elif "findings" in {key for e in material.lookups for key in e.facts}:
            lines += _touched(material)
            lines += [method(inv) for inv in _addressed(material) if inv.source in material.fresh]
        lines += [video.first_look(inv) for inv in _addressed(material) if inv.skimmed]
        lines += material.ruled
        if not lines:
            remarks.append("Nothing found belongs to that." if material.investigations else NO_FILES)
    lines += said[True]
    return Draft(remarks=tuple(remarks), lines=tuple(dict.fromkeys(lines)), shown=tuple(dict.fromkeys(material.shown)))


def _answered_by_lookup(request: Request) -> bool:
    """A lookup was made because the question names a time, a channel, an entity or a concept, or says why of what."""
    return not ({"why", "how_bad", "explain"} & set(request.intents) and request.references)


def _touched(material: Material) -> list[str]:
    """The findings that a lookup touches, described once; of many, the worst."""
    ids = {i for e in material.lookups for i in list(e.facts.get("findings") or [])}  # type: ignore[arg-type]
    touched = [(inv, f) for inv in material.investigations for f in inv.findings if f.evidence.id in ids]
    told = sorted(touched, key=lambda pair: -pair[1].severity_score)[:MOST_TOUCHED]
    material.shown += [f.evidence.id for _, f in told]
    return [f"- {_touching(inv, f, material.request)}" for inv, f in told]


def _touching(inv: Investigation, finding: Finding, request: Request) -> str:
    """A finding that a lookup touches; a place in a picture is told with all that a description says."""
    if inv.kind == "events":
        return events.belongs(finding)
    placed = inv.kind == "image" and "where" in request.intents
    return str(VOICES[inv.kind].where(finding) if placed else VOICES[inv.kind].describe(finding))


def _comparison(material: Material) -> list[str]:
    """Which of the findings that a comparison names deviates more."""
    if any(e.tool == "lookup_comparison" for e in material.lookups):
        return []
    named = [(inv, f) for inv in material.investigations for f in select(inv, material)[0] if f.abnormal]
    if len(named) < 2 or max(len(material.request.findings), len(material.request.samples)) < 2:
        return []
    (inv, worse), *_, (other, milder) = sorted(named, key=lambda pair: -pair[1].severity_score)
    high, low = (number(fact_number(f.evidence.facts, "severity_score")) for f in (worse, milder))
    first, second = _subject(inv, worse), _subject(other, milder)
    if high == low:
        return [f"{first} and {second} deviate alike: both {high} of 100 {cite(worse.evidence, milder.evidence)}."]
    return [f"{first} deviates more than {second}: {high} against {low} of 100 {cite(worse.evidence, milder.evidence)}."]


def _addressed(material: Material) -> list[Investigation]:
    """The investigations a question is about: of the sources it names, or all."""
    named = (
        set(material.request.sources) | {s.source for s in material.request.samples} | {t.source for t in material.request.times}
    )
    chosen = [inv for inv in material.investigations if inv.source in named]
    return chosen or list(material.investigations)


def _worst(inv: Investigation) -> float:
    """Sorts investigations by their worst finding."""
    return -max((finding.severity_score for finding in inv.findings), default=0.0)


def numbered_findings(investigations: Sequence[Investigation]) -> list[Finding]:
    """The abnormal findings in the order they are told, as `Reference.findings` counts them."""
    return [finding for inv in investigations for finding in inv.findings if finding.abnormal]


def select(inv: Investigation, material: Material) -> tuple[list[Finding], bool]:
    """The findings a question is about, and whether it named them."""
    request = material.request
    everything = numbered_findings(material.investigations)
    if request.references and request.findings:
        wanted = {everything[i].evidence.id for i in request.findings if i < len(everything)}
        return [f for f in inv.findings if f.evidence.id in wanted], True
    evidence_ids = {r.evidence for r in request.references if r.evidence}
    if evidence_ids:
        return [f for f in inv.findings if f.evidence.id in evidence_ids], True
    samples = {s.sample for s in request.samples if s.source == inv.source}
    if samples:
        return [f for f in inv.findings if f.evidence.locus.sample in samples], True
    found = [f for f in inv.findings if f.abnormal and f.severity >= request.min_severity]
    if request.channels and inv.kind == "series":
        found = [
            f for f in found if isinstance(f.evidence.locus, Interval) and set(request.channels) & set(f.evidence.locus.channels)
        ]
        return found, True
    if request.entities and inv.kind == "events":
        wanted_names = [entity.casefold() for entity in request.entities]
        found = [f for f in found if any(w in str(f.evidence.to_json()).casefold() for w in wanted_names)]
        return found, True
    if request.negation and inv.kind == "image":
        return [f for f in inv.findings if not f.abnormal], True
    return found, False


def _about(inv: Investigation, asked: Sequence[Intent], material: Material) -> list[str]:
    """All that is said about one source."""
    voice = VOICES[inv.kind]
    findings, named = select(inv, material)
    abnormal = [f for f in inv.findings if f.abnormal]
    if named and not findings and material.request.references:
        return []  # the reference points at another source
    lines: list[str] = []
    broad = bool({"overview", "what", "list", "which", "who", "is_normal", "exists", "how_many"} & set(asked))
    if (not named and broad) or not abnormal:
        headline = voice.headline(inv) if abnormal else voice.nothing(inv)
        lines.append(yes_or_no(material.request, inv.survey, abnormal=bool(abnormal)) + headline)
        lines += [*series.throughout(inv), *series.unjudged(inv)] if inv.kind == "series" else []
        lines += events.passed_over(inv) if inv.kind == "events" else []
    if not abnormal and inv.kind != "image" and not findings:
        findings = list(inv.findings[:1])
        asked = ["what", *asked]
    if not lines and findings and len(material.investigations) > 1 and inv.kind != "events":
        lines.append(f"{name(inv.source)}: {cite(inv.survey)}")
    listing = "list" in asked
    most = material.request.limit or (MOST_LISTED if listing else MOST_TOLD[inv.kind])
    told = sorted(findings, key=lambda f: -f.severity_score)[:most] if "how_bad" in asked and len(asked) == 1 else findings[:most]
    material.shown += [f.evidence.id for f in told]
    kinds = [i for i in dict.fromkeys("why" if i == "explain" else i for i in asked) if i == "why" or i in _TELL] or ["overview"]
    if {"overview", "what", "list"} & set(kinds):  # a description already says when, where in short, and how bad
        kinds = [
            i for i in kinds if i not in ("when", "how_bad", "which", "who", "list", "is_normal", "exists", "how_many", "show")
        ] or ["list"]
    if kinds == ["how_many"] and material.request.negation and inv.kind == "image":
        facts = inv.survey.facts
        lines.append(
            f"**{facts['ordinary']} of {count(int(fact_number(facts, 'photos')), image.noun(facts))} look normal** {cite(inv.survey)}."
        )
    if {"compare", "how_bad"} <= set(kinds):  # how bad each one is, is the comparison
        kinds.remove("compare")
    if inv.kind == "image" and "where" in kinds:  # a place is told with everything a description says
        kinds = [i for i in kinds if i not in ("overview", "what", "which", "list")]
    doubted = "explain" in asked and bool(either("confidence").search(material.request.question.lower()))
    for kind in dict.fromkeys(kinds):
        if kind == "why":
            most = len(told) if inv.kind == "image" else MOST_EXPLAINED  # the account of a photo is short
            lines += _explained(voice, inv, told[:most], material, doubted=doubted)
            if len(told) > most:
                lines.append(f"The others stand out less; name one to hear why it does {cite(inv.survey)}.")
            continue
        for f in told:
            verdict = yes_or_no(material.request, f.evidence, abnormal=f.abnormal) if named and kind in _YES_OR_NO else ""
            bullet = "" if verdict and len(told) == 1 else "- "
            lines += [f"{bullet}{verdict}{sentence}" for sentence in _TELL[kind](voice, inv, f)]  # type: ignore[index]
    if doubted:
        lines += [f"- {_confidence(inv, f)}" for f in told if f.abnormal]
    if len(findings) > len(told) and not named and not material.request.limit:
        more = "" if listing else "; ask for the list to see more"
        lines.append(f"There are {count(int(_total(inv)), 'finding')} in all{more} {cite(inv.survey)}.")
    if "explain" in asked or inv.source in material.fresh:
        lines.append(method(inv))
    if "explain" in asked:
        lines.append(_threshold(inv))
    return lines


def _total(inv: Investigation) -> float:
    facts = inv.survey.facts
    return (
        fact_number(facts, "flagged" if inv.kind == "image" else "events")
        if inv.kind != "events"
        else fact_number(facts, "findings")
    )


def method(inv: Investigation) -> str:
    """Which detector was used and why: part of every first answer."""
    said = f"I used {name(inv.tool)} because {inv.reason} {cite(inv.survey)}."
    if not inv.survey.calibrated and "normal_s" not in inv.survey.facts:
        said += " The threshold comes from the input itself, so give normal examples to be surer."
        if inv.kind == "events" and any(finding.abnormal for finding in inv.findings):
            said += " What is told is the strangest of this log, which need not be bad: how strange it is makes it minor at most."
    roles = inv.survey.facts.get("roles")
    if isinstance(roles, dict) and roles:
        said += f" Columns read: {listed([f'{role} from {name(column)}' for role, column in list(roles.items())[:6]])} {cite(inv.survey)}."
    remarks = inv.survey.facts.get("remarks")
    if isinstance(remarks, list | tuple) and remarks:
        said += f" It remarks: {listed([name(str(remark).rstrip('.'), LONGEST_REMARK) for remark in remarks[:3]])} {cite(inv.survey)}."
    return f"_{said}_"


def _threshold(inv: Investigation) -> str:
    return f"The threshold is {number(inv.survey.threshold or 0.0)}: {inv.survey.threshold_origin} {cite(inv.survey)}."


def _severity(voice: ModuleType, inv: Investigation, finding: Finding) -> list[str]:
    """How bad, and from what that was computed."""
    if not finding.abnormal:
        return [voice.describe(finding)]
    facts = finding.evidence.facts
    caution = "" if facts.get("severity_known") else " It measures deviation, not cost."
    return [
        f"{_subject(inv, finding)}: {how_bad(finding)}, from {facts['severity_why']}; "
        f"confidence {number(fact_number(facts, 'confidence_percent'))} % {cite(finding.evidence)}.{caution}"
    ]


def _subject(inv: Investigation, finding: Finding) -> str:
    if inv.kind == "image":
        return name(finding.evidence.locus.sample)
    if inv.kind == "events":
        return events.subject_of(finding)
    start = getattr(finding.evidence.locus, "start_s", 0.0)
    return series.time_said(finding.evidence.facts, start) if inv.kind == "series" else moment(start)


_YES_OR_NO = ("is_normal", "exists")


def yes_or_no(request: Request, evidence: Evidence, *, abnormal: bool) -> str:
    """The first words of an answer to a yes-or-no question, by what a yes means there; empty when it asks neither."""
    if request.expects == "either" or evidence.facts.get("undecided") or not {*_YES_OR_NO, "overview"} & set(request.intents):
        return ""
    yes = abnormal == (request.expects == "abnormal")
    if abnormal:
        return "Yes, it looks so. " if yes else "No, it does not look so. "
    return "Yes, as far as I can measure. " if yes else "No, not as far as I can measure. "


def _confidence(inv: Investigation, finding: Finding) -> str:
    """How sure a finding is, and on what that rests."""
    percent = number(fact_number(finding.evidence.facts, "confidence_percent"))
    basis = (
        "from normal examples"
        if finding.evidence.calibrated
        else "without enough normal examples, so it is a guess"
        if finding.evidence.facts.get("normal_clips")
        else "without normal examples, so it is a guess from its own spread"
    )
    return f"{_subject(inv, finding)}: {percent} % sure, {basis} {cite(finding.evidence)}."


def _explained(
    voice: ModuleType, inv: Investigation, findings: Sequence[Finding], material: Material, *, doubted: bool
) -> list[str]:
    """Why each finding stands out, then its account: what came before and after it, what may excuse it, what stays open.

    Where only doubt is asked about (`doubted`), what may excuse it is enough.
    """
    lines: list[str] = []
    for finding in findings:
        if not finding.abnormal:
            lines.append(f"- {voice.describe(finding)}")
            continue
        lines.append(f"- {voice.why(finding)}")
        account = material.account(inv, finding) if material.account is not None else None
        if account is not None:
            for statement in () if doubted else (*account.cause, *account.effect):
                told = f"  - {statement.text}"
                if told in lines:  # several chains may grow out of one download
                    way = "begins" if statement in account.cause else "goes on"
                    told = f"  - It {way} as told above [{', '.join((finding.evidence.id, *statement.evidence))}]."
                lines.append(told)
            lines += [f"  - Possibly harmless: {s.text[:1].lower()}{s.text[1:]}" for s in account.innocent]
            if inv.kind != "image":
                lines += [f"  - {statement.text}" for statement in account.insufficient if not doubted]
    if inv.kind == "image" and any(finding.abnormal for finding in findings) and not doubted:
        cited = cite(*(finding.evidence for finding in findings if finding.abnormal))
        kind = image.noun(inv.survey.facts).capitalize()
        lines.append(f"{kind}s show one moment, so the evidence does not show how this came about {cited}.")
    return lines


_Teller = Callable[[ModuleType, Investigation, Finding], list[str]]
_TELL: dict[str, _Teller] = {
    "overview": lambda voice, inv, f: [voice.describe(f)],
    "what": lambda voice, inv, f: [voice.describe(f)],
    "list": lambda voice, inv, f: [voice.describe(f)],
    "when": lambda voice, inv, f: [voice.when(f)],
    "where": lambda voice, inv, f: [voice.where(f)] if f.abnormal else [voice.describe(f)],
    "which": lambda voice, inv, f: [voice.describe(f)] if inv.kind in ("image", "events") else [voice.where(f)],
    "who": lambda voice, inv, f: [voice.describe(f)],
    "how_bad": _severity,
    "is_normal": lambda voice, inv, f: [voice.describe(f)],
    "exists": lambda voice, inv, f: [voice.describe(f)],
    "show": lambda voice, inv, f: [voice.describe(f)],
    "compare": lambda voice, inv, f: [voice.describe(f)],
    "how_many": lambda voice, inv, f: [],
}


def _help(_: Material) -> list[str]:
    return [render("help", detectors=list(catalogue().values()))]


def _unsupported(material: Material) -> list[str]:
    reason = (material.request.reason or "I cannot do that").rstrip(".")
    return [
        f"{reason[:1].upper()}{reason[1:]}. I can say what is abnormal in the files of this chat, when, where, why it stands out and "
        "how bad it is."
    ]


def _small_talk(material: Material) -> list[str]:
    """Thanks, goodbyes and greetings, each with what may come next."""
    said = material.request.question.lower().strip()
    if material.request.targeted:
        return []
    if either("thanks").search(said):
        return ["You are welcome. Ask on, or drop in more files."]
    if either("bye").search(said):
        return ["Goodbye. This chat and its evidence are kept."]
    if either("agreed").search(said):
        return ["All right. Ask on, or drop in more files."]
    if material.investigations:
        return ["Hello. Ask on about these files, or drop in more."]
    return ["Hello. Drop in files and ask what is wrong with them."]


def _export(material: Material) -> list[str]:
    """How to take the answer along, and a moment of a video, if there is one."""
    told = ["Download the report of this chat with the report button, or run `telltale report` with this chat's name."]
    if any(inv.kind == "video" for inv in material.investigations):
        told.append(
            "A moment of a video can be had as a file of its own: ask for “the clip of that event”, or “cut 0:05 to 0:10”."
        )
    return told


_TALK: dict[Intent, Callable[[Material], list[str]]] = {
    "help": _help,
    "greeting": _small_talk,
    "unsupported": _unsupported,
    "define_rule": lambda m: [],  # told by agent.rulings
    "undo": lambda m: ["There is nothing to undo: I keep evidence and never change files. Start a new chat to begin again."],
    "reset": lambda m: ["Start a new chat to begin again; this one keeps its evidence."],
    "export": _export,
}


def suggestions(investigations: Sequence[Investigation]) -> tuple[str, ...]:
    """Good next questions."""
    if not investigations:
        return ("What can you do?",)
    inv = investigations[0]
    if not any(f.abnormal for f in inv.findings):
        return ("How do you know?", "What is the strangest part?")
    last = {"image": "Where exactly?", "video": "Show me the strongest one", "series": "Which sensor is to blame?",
            "events": "What else did it do?"}[inv.kind]  # fmt: skip
    return ("Why?", "How bad is it?", last, "How do you know?")
