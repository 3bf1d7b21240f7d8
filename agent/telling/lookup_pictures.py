"""What is said about things looked for in pictures, and about what a detector cannot tell."""

from __future__ import annotations

from typing import Any

from agent.telling.image import named
from agent.telling.words import count, listed, moment, name, number
from core.evidence import Evidence

_NOUN = {"image": "photo", "video": "frame"}


def _at(facts: Any) -> str:
    return f"at {moment(facts['best_s'])}" if "best_s" in facts else f"in {name(facts['best'])}"


def _cite(evidence: Evidence) -> str:
    """The lookup and the findings or the survey that it repeats."""
    facts: Any = evidence.facts
    return "[" + ", ".join([evidence.id, *facts.get("rests_on", [])]) + "]"


def _looked_at(facts: Any) -> str:
    return count(facts["looked_at"], _NOUN[facts["of"]]) + (" looked at" if facts["of"] == "video" else "")


def concept(evidence: Evidence) -> list[str]:
    """How near pictures come to the name of a thing: a hint."""
    facts: Any = evidence.facts
    sooner = listed([name(n) for n in facts["sooner"]])
    measured = f"similarity {number(facts['similarity'])}, median {number(facts['median_similarity'])}"
    counting = "I can count upright people only. " if facts["count"] else ""
    if facts["clear"]:
        behind = f", yet {sooner} would fit as well or better" if sooner else ""
        return [
            f"{counting}Perhaps, {_at(facts)}: of {_looked_at(facts)} that one is nearest to {name(facts['phrase'])} ({measured}){behind}. "
            f"This is {facts['method']}, a hint and not a decision [{evidence.id}]."
        ]
    sooner = f"; {sooner} would fit better there" if sooner else ""
    return [
        f"{counting}{name(facts['phrase'])} is not clearly there: of {_looked_at(facts)} the nearest is {_at(facts)} ({measured}){sooner}. "
        f"This is {facts['method']}, a hint and not a decision [{evidence.id}]."
    ]


def people(evidence: Evidence) -> list[str]:
    """In how many pictures people are seen, and what the detector adds where more than that was asked."""
    facts: Any = evidence.facts
    limits = (
        "I can count upright people, but cannot tell from pictures what they do or what happens to them "
        f"(asked: {name(facts['phrase'])}). "
    )
    start = limits if facts["beyond"] else ""
    if facts["with"]:
        if facts["whether"] and not facts["beyond"]:
            start = "Probably yes. " if facts["with"] > 1 else "Perhaps. "
        seen = (
            f"People are seen in {number(facts['with'])} of {_looked_at(facts)}, at most {number(facts['most'])} at once, {_at(facts)}"
            f"{'; how many different people that is I cannot tell' if facts['count'] and facts['of'] == 'video' else ''}"
        )
    else:
        seen = f"No people are seen in {_looked_at(facts)}; only upright people who are large enough can be"
    lines = [f"{start}{seen} ({facts['method']}) [{evidence.id}]."]
    if facts["beyond"] and "found" in facts:
        lines.append(f"{_found(facts)}{_hedge(facts)} {_cite(evidence)}.")
    return lines


def motion(evidence: Evidence) -> list[str]:
    """Who did what was asked about and when, or why that cannot be told, and what the detector adds."""
    facts: Any = evidence.facts
    act, clip, sure = name(facts["act"]), name(evidence.locus.sample), "as far as simple tracking can tell"
    there = " in the time asked about" if facts["in_times"] else ""
    if facts["seen"]:
        lines = [f"{'Yes, ' if facts['whether'] else ''}{sure}{there}: {name(facts['seen'][0]['said'])} {_cite(evidence)}."]
        lines += [f"Also {name(one['said'])} {_cite(evidence)}." for one in facts["seen"][1:]]
        if facts["times"] > len(facts["seen"]):
            lines.append(f"In all that is {count(facts['times'], 'time')} {_cite(evidence)}.")
        return [lines[0][:1].upper() + lines[0][1:], *lines[1:]]
    if facts["cannot"]:
        lines = [
            f"I cannot tell whether {act}{there} {_cite(evidence)}.",
            *(f"{why} {_cite(evidence)}" for why in facts["cannot"]),
        ]
    else:
        no = "No, not" if facts["whether"] else "Not"
        lines = [
            f"{no} {sure}: everything that moves in {clip} was followed, and nowhere is it so that {act}{there} {_cite(evidence)}."
        ]
    if "found" in facts:
        lines.append(f"{_found(facts)}{_hedge(facts)} {_cite(evidence)}.")
    return lines


def _hedge(facts: Any) -> str:
    """What "nothing unusual" means for a clip without normal ones."""
    return f"; {facts['hedge']}" if "hedge" in facts else ""


def _found(facts: Any) -> str:
    """How much the detector of unusual things found in scope."""
    there = " there" if facts["in_times"] or facts.get("normal_names") else ""
    if facts["of"] == "image":
        if not facts["found"]:
            return "The detector sees no unusual photo" + there
        return f"The detector finds {named(facts['abnormal_names'], facts)} unusual"
    if not facts["found"]:
        return f"The detector finds nothing unusual{there}"
    return f"The detector finds {count(facts['found'], 'unusual event')}{there}"


def kind(evidence: Evidence) -> list[str]:
    """Whether anything is unusual, and that its kind is for a person to say."""
    facts: Any = evidence.facts
    phrase = name(facts["phrase"])
    perhaps, no = ("Perhaps. ", "No, not as far as I can measure. ") if facts["whether"] else ("", "")
    if facts.get("damage") and facts["whether"]:
        perhaps = "Yes, something is wrong. "
    if facts["of"] == "image":
        return _kind_in_photos(evidence, facts, phrase, perhaps, no)
    if facts["found"]:
        beyond = f"as I only measure how unusual {'readings' if facts['of'] == 'series' else 'motion and looks'} are"
        return [f"{perhaps}{_found(facts)}; whether that is {phrase} I cannot tell, {beyond} {_cite(evidence)}."]
    return [
        f"{no if facts['calibrated'] else ''}{_found(facts)}, so nothing speaks for {phrase}{_hedge(facts)} {_cite(evidence)}."
    ]


def _kind_in_photos(evidence: Evidence, facts: Any, phrase: str, perhaps: str, no: str) -> list[str]:
    """The verdict on the photos in scope: abnormal ones first, then those named that are not."""
    lines = []
    if facts["found"]:
        verb = "looks" if len(facts["abnormal_names"]) == 1 else "look"
        in_all = facts["found"] == facts["flagged"] and not facts["normal_names"]
        names = named(facts["abnormal_names"], facts if in_all else {})
        looks = f"{names} {verb} abnormal"
        if in_all and facts["photos"] > facts["found"]:
            looks = f"**{facts['flagged']} of {count(facts['photos'], 'photo')} {verb} abnormal**: {names}"
        beyond = f"I cannot name the type of a defect{' or count it' if facts['count'] else ''}"
        lines.append(f"{perhaps}{looks}; {beyond}, so whether that is {phrase} is for you to see {_cite(evidence)}.")
    if facts["undecided"] and not facts["found"]:
        beyond = f"without a photo of a good part that does not rule out {phrase}"
        lines.append(f"I cannot tell: nothing breaks the picture's own pattern, but {beyond} {_cite(evidence)}.")
    elif facts["normal_names"]:
        names = listed([name(n) for n in facts["normal_names"]])
        verb = "does" if len(facts["normal_names"]) == 1 else "do"
        start = "" if facts["found"] else no
        lines.append(f"{start}{names} {verb} not stand out, so nothing speaks for {phrase} there {_cite(evidence)}.")
    elif not lines:
        what = (
            "The photo does not stand out"
            if facts["photos"] == 1
            else f"None of the {count(facts['photos'], 'photo')} stands out"
        )
        lines.append(f"{no}{what}, so nothing speaks for {phrase} {_cite(evidence)}.")
    return lines


def colour(evidence: Evidence) -> list[str]:
    """The colour of what stands out, where it differs from its surroundings."""
    facts: Any = evidence.facts
    if "looks" not in facts:
        return _untold("colours", facts, evidence)
    return [
        f"- {name(sample)}: what stands out {f'is {looks}' if looks else 'has no colour that its surroundings lack'} "
        f"[{evidence.id}, {finding}]."
        for sample, looks, finding in facts["looks"]
    ]


def untold(evidence: Evidence) -> list[str]:
    """What no detector can tell, then what is known."""
    facts: Any = evidence.facts
    return _untold(facts["phrase"], facts, evidence)


def _untold(what: str, facts: Any, evidence: Evidence) -> list[str]:
    rest = "where, how large and how unusual" if facts["of"] == "image" else "when, where and how unusual"
    known = f" What I know is {rest} it is." if facts["found"] else ""
    return [f"I cannot tell {what} without a vision-language model.{known} {_found(facts)}{_hedge(facts)} {_cite(evidence)}."]


def pair(evidence: Evidence) -> list[str]:
    """Which of two deviates more, with both scores."""
    facts: Any = evidence.facts
    worse, milder = facts["worse"], facts["milder"]
    first, second = _side(worse), _side(milder)
    scores = f"score {number(worse['score'])} against {number(milder['score'])}, the threshold {number(facts['threshold'])}"
    if not worse["abnormal"]:
        return [f"Neither {first} nor {second} stands out ({scores}), so the difference says little {_cite(evidence)}."]
    if not milder["abnormal"]:
        return [f"{first} deviates more: it looks abnormal and {second} does not ({scores}) {_cite(evidence)}."]
    high, low = number(worse["severity_score"]), number(milder["severity_score"])
    if high == low:
        return [f"{first} and {second} deviate alike, both {high} of 100 ({scores}) {_cite(evidence)}."]
    return [f"**{first} deviates more than {second}**: {high} against {low} of 100 in severity, {scores} {_cite(evidence)}."]


def _side(side: Any) -> str:
    return moment(side["start_s"]) if "start_s" in side else name(side["sample"])
