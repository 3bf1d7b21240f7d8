"""Reading what a picture would show: a text with its opposite, and whether it only names a thing.

What fixed rules cannot see (a helmet, an open lid) is kept as text for a model that can.
"""

from __future__ import annotations

import re
from functools import lru_cache

from agent.rules.conditions import ConceptCondition, MotionCondition
from agent.rules.duties import agreeing
from agent.rules.picture_words import BARE_OF, label_of, singular

_UNSEEN = re.compile(
    r"\b(?:smell\w*|odou?rs?|stink\w*|nois[ey]\w*|sounds?|loud\w*|music|tast(?:es?|y|ing)\w*|"  # other senses
    r"talk(?:s|ing) about|shout\w*|scream\w*|think\w*|thought\w*|intend\w*|intentions?|want(?:s|ing)? to|plan(?:s|ning) to"
    r"|lying to|lies to"
    r"|honest\w*|mood|happy|unhappy|angry|sad|bored|tired|drunk|sick|ill|nervous|guilty|innocent|love|opinions?|beautiful"
    r"|ugly|feels?|feelings?"
    r"|secretly|motivat\w*|satisf\w*|careless\w*|lazy|experienced|trained|qualified|competent|"  # the mind and what somebody can do
    r"religio\w*|political\w*|nationalit\w*|race|ethnic\w*|criminals?|criminal record|name is|called \w+|identity|who (?:he|she|it) is|"
    r"tomorrow|next (?:week|month|year|day)|future|(?:will|would|going to|about to|likely to) \w+|soon|"  # what has not happened
    r"god|luck\w*|karma|expensive|cheap|prices?|costs?|suppliers?|deliver(?:s|y|ies) (?:is |are )?late|profit\w*|warranty|deadline"
    r"|(?:poor|bad|low|good|high) quality|quality (?:is|are)|efficien\w*|reliab\w*|durab\w*|strength|(?:stronger|weaker"
    r"|harder|softer|heavier|lighter) than"
    r"|(?:was|were|is|are|been|be) (?:made|ordered|bought|produced|paid|planned|approved|manufactured)\b|(?:did|does|do"
    r"|has) not (?:order|pay|buy|ask)"
    r"|alloys?|composition|attention|(?:look|looks|looking|seem|seems|appear|appears|behav\w+|act|acts|acting) "
    r"(?:\w+ly )?(?:suspicious|suspiciously|strange|strangely|odd|oddly|weird|weirdly|normal|abnormal|wrong|ok|okay|good|bad|fine)"
    r"|certified|licen[sc]ed|insured|competitors?|(?:un)?authori[sz]ed (?:persons?|people|personnel|visitors?|staff|users?)"
    r"|on purpose|purposely|deliberate\w*|accidental\w*|mistakes?|bitter|sour|valuable|illegal(?:ly)?|smart|clever|helpful"
    r"|toxic\w*|poisonous|fake|counterfeit|stolen|(?:too |very )?(?:old|heavy))\b(?!\.exe|\.dll)"
)  # fmt: skip
"""What no picture, reading or log row shows: other senses, minds, names and origins, the future, money, inner properties."""
_OPPOSITES = (
    ("open", "closed"), ("dirty", "clean"), ("empty", "full"), ("wet", "dry"), ("loose", "tight"), ("off", "on"), ("red", "green"),
    ("switched on", "switched off"), ("broken", "intact"), ("damaged", "intact"), ("bent", "straight"), ("tilted", "upright"),
    ("upside down", "upright"), ("burning", "not burning"), ("leaking", "tight"), ("unlocked", "locked"), ("blocked", "clear"),
    ("crooked", "straight"), ("misaligned", "aligned"), ("cracked", "intact"), ("scratched", "unscratched"), ("rusty", "free of rust"),
    ("missing", "in place"), ("unlabelled", "labelled"), ("tangled", "tidy"), ("plugged in", "unplugged"), ("locked", "unlocked"),
)  # fmt: skip
_BOTH_WAYS = 8
"""The first pairs can be read from right to left, too."""
_STATES: tuple[tuple[str, str], ...] = (*_OPPOSITES, *((b, a) for a, b in _OPPOSITES[:_BOTH_WAYS]))


def cannot_be_seen(body: str) -> str:
    """The word of a definition that no picture, reading or log row shows, or "".

    >>> cannot_be_seen("the operator is angry"), cannot_be_seen("a person near the press")
    ('angry', '')
    """
    match = _UNSEEN.search(body)
    return match[0] if match else ""


def read_concept(body: str, *, motion: MotionCondition | None = None) -> ConceptCondition:
    """What a picture would show, with its opposite; `visible` only for a thing by its name.

    >>> read_concept("the lid is open").normal, read_concept("a bicycle").visible, read_concept("the lid is open").visible
    (('the lid is closed',), True, False)
    """
    text = " ".join(body.split())[:200]
    opposite = _opposite(text)
    plain = motion is None or (
        motion.predicate == "is there"
        and not (motion.zone or motion.object or motion.with_attributes or motion.without_attributes or motion.count)
    )
    return ConceptCondition(
        abnormal=(text,), normal=(opposite,) if opposite else (), visible=plain and not opposite and is_thing(text)
    )  # fmt: skip


def _opposite(text: str) -> str:
    if re.search(r"\bwithout\b", text):
        return re.sub(r"\bwithout\b", "with", text)[:200]
    if (bare := BARE_OF.search(text)) is not None:
        return f"{text.replace(bare[0], '').strip()} with a {bare['x']}"[:200]
    if re.search(r"\bwith no\b|\bnot wearing\b", text):
        return re.sub(r"\bnot wearing\b", "wearing", re.sub(r"\bwith no\b", "with a", text))[:200]
    if (gone := re.match(r"^(?:an? |the )?missing (\w[\w ]*)$", text)) is not None:
        return f"the {gone[1]} is in place"
    if re.search(r"\b(?:while|when|if|unless|and|or|but|as long as)\b", text):
        return ""  # two things at once have no one opposite
    for state, other in _STATES:
        if re.search(rf"\b(?:is|are|being) {state}\b(?! (?:the|a|an|its|top)\b)", text):
            return re.sub(rf"\b{state}\b", other, text)[:200]
        match = re.match(rf"^((?:an? |the |any )?){state} (\w+)$", text)
        if match is not None:
            article = ("an " if other[0] in "aeiou" else "a ") if match[1] in ("a ", "an ") else match[1]
            return f"{article}{other} {match[2]}"
    if (denied := re.search(r"\b(?P<v>is|are|does|do|was|has|have) not ", text)) is not None:
        return f"{text[: denied.start()]}{_affirmed(denied['v'], text[denied.end() :])}"[:200]
    if (none := re.match(r"^there (is|are) no (.+)$", text)) is not None:
        return f"there {none[1]} {none[2]}"
    if (there := re.search(r"\bthere (is|are) (?:an? |some )?(?!no\b)", text)) is not None:
        return f"{text[: there.start()]}there {there[1]} no {text[there.end() :]}"[:200]
    if (said := re.search(r"\b(?:is|are) (?!no\b|there\b)(?=\w)", text)) is not None:
        return f"{text[: said.end()]}not {text[said.end() :]}"[:200]
    return ""


def _affirmed(verb: str, rest: str) -> str:
    """What stands behind a denied verb, as it is said without the denial.

    >>> _affirmed("does", "contain 6 bottles"), _affirmed("is", "straight")
    ('contains 6 bottles', 'is straight')
    """
    if verb in ("do", "does"):
        first, _, more = rest.partition(" ")
        return f"{agreeing(first, verb == 'do')} {more}".strip()
    return f"{verb} {rest}"


@lru_cache(maxsize=1)
def _things() -> frozenset[str]:
    from models.vision_concepts import RIVALS, class_names

    names = {name.strip().lower() for line in class_names() for name in line.split(",")}
    return frozenset(names | set(RIVALS))


def is_thing(phrase: str) -> bool:
    """True when a phrase is only the name of a thing that concept matching knows.

    >>> is_thing("bicycles"), is_thing("a goldfish"), is_thing("an open bottle"), is_thing("justice")
    (True, True, False, False)
    """
    name = _bare(phrase)
    return bool({name, singular(name), label_of(name)} & _things())


def thing_name(phrase: str) -> str:
    """A phrase as the name of one thing, as class names have it.

    >>> thing_name("people"), thing_name("any bicycles in the picture")
    ('person', 'bicycle')
    """
    return label_of(_bare(phrase))


def _bare(phrase: str) -> str:
    name = re.sub(r"^(?:(?:an?|the|any|some|all|every|no)\s+)+", "", phrase.strip().lower())
    return re.sub(
        r"\s+(?:is|are) (?:there|visible|present|in (?:the|this) (?:picture|image|photo))$|\s+in (?:the|a) (?:picture|image"
        r"|photo|scene)$",
        "",
        name,
    )
