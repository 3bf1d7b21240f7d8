"""What a sentence calls an anomaly: only the word by which the evidence calls it, and of the channel of which it does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from agent.checking.claims import Claim
from agent.checking.utterance import Mention, Utterance

_SAME_NAME = """
spike dip drift noise dropout oscillation scratch crack dent stain hole contamination chip tear burn rust corrosion leak fire smoke
explosion flood fight theft robbery crash collision accident shooting weapon gun knife intrusion ransomware exfiltration phishing
overheating cavitation vandalism loitering assault malware virus trojan attack attacker hacker breach burglary murder injury death
failure malfunction damage breakdown sabotage imbalance misalignment blockage clog short-circuit overload outage riot stampede arson
arrest abuse shoplifting stealing scratching bubble wrinkle discolouration discoloration deformation bend fracture
"""
KINDS: dict[str, str] = {
    **{kind: kind for kind in _SAME_NAME.split()},
    "level shift": "level shift", "flatline": "flatline", "flatlines": "flatline", "stuck": "flatline", "frozen": "flatline",
    "flat": "flatline", "does not change": "flatline", "did not change": "flatline",
    "constant": "flatline", "stands still": "flatline", "stood still": "flatline", "standing still": "flatline",
    "correlation break": "correlation break", "frequency change": "frequency", "brute force": "brute force", "broken": "broken",
    "damaged": "damage", "infected": "infect", "compromised": "compromise", "fails": "failure", "failed": "failure", "fail": "failure",
    "failing": "failure", "crashed": "crash", "worn": "wear", "leaking": "leak", "burning": "fire", "hacked": "hack",
    "malicious": "malicious", "encrypted": "encrypt", "stolen": "steal", "fought": "fight", "stole": "steal", "shot": "shooting",
}  # fmt: skip
"""What an anomaly may be called, and the word by which the evidence calls it so."""
_KIND = re.compile(rf"\b({'|'.join(sorted(map(re.escape, KINDS), key=len, reverse=True))})(?:s|es|ed|d|ing)?\b(?! by\b)", re.I)
_THEN_CHANNEL = re.compile(
    r"\s+(?:(?:is|was|occurs|occurred|lies|sits|appears|happened) )?(?:in|of|on|for)?\s*(?:the\s+)?(?:channel\s+)?"
)
_CHANNEL_THEN = re.compile(
    r"(?:\s+(?:sensor|channel|readings?|signal|value))?"
    r"(?:\s+(?:is|was|shows?|has|had|stands?|stood|the|a|an|its?|remained|stays?|got|then|also))*\s*\(?"
)


def kind_claims(said: Utterance) -> Iterator[Claim]:
    """The kinds that a part of a sentence names, each with the evidence that calls it so."""
    called = said.facts.text("label", "labels", "what", "looks")
    kinds = [leaf for leaf in said.facts.leaves if leaf.key == "kind"]
    pairs = {(leaf.evidence, leaf.owner, str(leaf.value).casefold()) for leaf in kinds if leaf.owner}
    channels = [m for m in said.mentions if m.type == "channel"]
    for match in _KIND.finditer(said.bare):
        seen = re.search(r"\blooks? like (?:an? )?(?:\w+ )?$", said.bare[: match.start()], re.I)
        if seen and any(e.locus.kind == "region" for e in said.facts.evidence):
            continue  # a likeness is the model's own view
        kind = KINDS[match[1].lower()]
        stem = kind[:-1] if kind.endswith("e") else kind
        hit = {i for i, text in called if re.search(rf"\b{re.escape(stem)}", text)}
        hit |= {leaf.evidence for leaf in kinds if not leaf.owner and str(leaf.value) == kind}
        if kind == "flatline":
            hit |= {leaf.evidence for leaf in said.facts.leaves if leaf.key == "still_from_s"}
        near = [channel.name for channel in channels if _of(said, match, channel)]
        before = [m for m in said.mentions if m.type == "source" and m.end <= match.start()]
        if (
            kind == "flatline"
            and before
            and re.fullmatch(r"\s*(?:is|was|has|got|gets)?\s*", said.text[before[-1].end : match.start()])
        ):
            near = [before[-1].name]  # a machine that stands still is not its sensor
        for left, right in pairwise(channels):  # "a flatline in flow and vibration"
            if (
                near
                and near[-1] == left.name
                and left.start > match.end()
                and re.fullmatch(r"\s*(?:,|,?\s*and)\s*", said.bare[left.end : right.start])
            ):
                near.append(right.name)
        if near:
            labelled = {i for i in hit if any(j == i and near[-1].casefold() in text for j, text in called)}
            hit = {i for i, owner, other in pairs if owner == near[-1] and other == kind} | labelled
            if len(near) > 1 and not all(any(owner == name and other == kind for _, owner, other in pairs) for name in near[1:]):
                hit = set()
        where = f" in {near[-1]}" if near else ""
        yield Claim(start=match.start(), end=match.end(), type="kind", text=match.group(), support=frozenset(hit),
                    problem=f"the evidence does not call it {match[1]!r}{where}")  # fmt: skip


def _of(said: Utterance, kind: re.Match[str], channel: Mention) -> bool:
    """Whether a kind is told of a channel: "spike in vibration", "vibration shows a spike"."""
    if channel.start >= kind.end():
        return _THEN_CHANNEL.fullmatch(said.text[kind.end() : channel.start]) is not None
    return channel.end <= kind.start() and _CHANNEL_THEN.fullmatch(said.text[channel.end : kind.start()]) is not None
