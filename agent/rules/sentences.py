"""What a definition says of its subject: anomaly or normal, and how serious.

What is left of a sentence is a `Statement`: its body without the words that state the polarity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from agent.intents import read_rule
from agent.reading.languages import detect_language
from agent.reading.phrases import replacements, wordlist
from agent.reading.tidy import tidy
from agent.rules.admission import check_language, check_text
from agent.rules.numbers import plain_numbers
from agent.rules.words import word_set
from core.errors import BadInput
from core.rules import Polarity

_SEVERITY: tuple[tuple[int, str], ...] = (
    (3, r"critical|severe|an emergency|urgent|very (?:serious|dangerous|bad)|dangerous|top priority"),
    (2, r"serious|major|important|a (?:real |big )?problem|significant"),
    (1, r"minor|a warning|low priority|slight(?:ly)? (?:bad|abnormal)|only a hint|informational|mild"),
)
_ABNORMAL = (
    r"(?:an? )?(?:anomal(?:y|ies|ous)|abnormal|suspicious|critical|severe|serious|dangerous|forbidden|prohibited"
    r"|not allowed|not permitted"
    r"|unacceptable|bad|wrong|malicious|a (?:real |big |minor |serious |critical |major )?(?:defect|fault|problem|error"
    r"|alarm|incident|violation"
    r"|warning|issue|threat|hazard)|an (?:emergency|incident|error|alarm|alert|issue|attack)|defects|faults|problems"
    r"|unusual|unauthori[sz]ed|urgent|minor|major"
    r"|important|illegal|banned|top priority|mild|unexpected|faulty|defective|broken|a nuisance|an? (?:minor|serious"
    r"|critical|major|severe) (?:anomaly|defect|finding|incident))"
)
_NORMAL = (
    r"(?:perfectly |completely |totally |always |quite |just )*(?:normal|fine|okay|ok|alright|all right|expected|harmless"
    r"|allowed|permitted|acceptable|intended|legitimate|legit"
    r"|benign|good|safe|tolerated|no (?:problem|issue|anomaly|defect|big deal|concern)|not (?:a|an) (?:problem|issue"
    r"|anomaly|defect|fault|alarm|error)"
    r"|(?:a )?false alarms?|unimportant|irrelevant|not important|not abnormal|not suspicious|not critical|not dangerous"
    r"|not forbidden|not serious|nothing to worry about)"
)
_TAIL = r"(?: (?:here|for us|for me|in (?:this|our|my) \w+|too|as well|though|then|now))*"
_PLACE = (
    r"(?P<place> (?:in|on|at|near|inside|under|behind|next to|during|when|while|whenever|if|unless|for|between|after"
    r"|before|outside|everywhere|within|only) ?.{2,120})?"
)
_LEAD = (
    r"^(?:please |from now on,? |in (?:the )?future,? |as of now,? |note that |remember(?: that)?:? |always |also |and "
    r"|but |no, |(?:new )?rule:? ?|now,? |here,? )*"
)
_STATED = (
    # (polarity, pattern with x); the first that fits decides
    ("normal", rf"{_LEAD}(?P<x>.{{2,}}?),? (?:do|does|did) (?:not|never) (?:really )?(?:matter|count|bother (?:me"
        rf"|us))(?: to us| to me| at all)?{_TAIL}{_PLACE}$"),
    ("anomaly", rf"{_LEAD}(?P<x>.{{2,}}?) (?:do |does )?matters?(?: to us| to me| a lot)?$"),
    ("anomaly", rf"{_LEAD}(?:i|we) (?:do not|never) want (?:to see |to have )?(?P<x>.{{2,}})$"),
    ("normal", rf"{_LEAD}(?:i|we) (?:do not|never) (?:care about|mind|worry about|need to know about) (?:if |when |it when "
        rf"|that )?(?P<x>.{{2,}})$"),
    ("normal", rf"{_LEAD}never mind (?P<x>.{{2,}})$"),
    ("normal", rf"{_LEAD}(?:it|that) is {_NORMAL}(?: here)?,? (?:that|if|when|for|to have|to see) (?P<x>.{{2,}})$"),
    ("anomaly", rf"{_LEAD}(?:it|that) is (?:not (?:normal|fine|okay|ok|allowed|permitted|acceptable|expected)"
        rf"|{_ABNORMAL})(?: here)?,? (?:that|if|when|for|to have|to see) (?P<x>.{{2,}})$"),
    ("anomaly", rf"{_LEAD}(?P<x>.{{2,}}?),? (?:(?:it|that|this) )?(?:is|are|was|were|counts? as|means?|would be|should be"
        rf"|will be|must be)(?: always| never| also| considered| treated as| to be)* not (?:at all )?(?:normal|fine|okay|ok"
        rf"|expected|acceptable|harmless|tolerated|legitimate|good|safe){_TAIL}{_PLACE}$"),
    ("normal", rf"{_LEAD}(?P<x>.{{2,}}?),? (?:(?:it|that|this) )?(?:is|are|was|were|counts? as|means?|would be|should be"
        rf"|can be)(?: always| also| considered| treated as| to be)* {_NORMAL}{_TAIL}{_PLACE}$"),
    ("anomaly", rf"{_LEAD}(?P<x>.{{2,}}?),? (?:(?:it|that|this) )?(?:is|are|was|were|counts? as|means?|would be"
        rf"|should be)(?: always| never| also| considered| treated as| to be| very| highly"
        rf"| extremely)* {_ABNORMAL}{_TAIL}{_PLACE}$"),
    ("normal", rf"{_LEAD}(?:do not|never|stop|no need to) (?:flag|flagging|report|reporting|alert(?: me)?(?: on| about| for"
        rf"| when| if)?|mark|warn(?: me)?(?: about| when| if)?|complain about|worry about|bother about|mind|care about"
        rf"|count) (?P<x>.{{2,}})$"),
    ("anomaly", rf"{_LEAD}(?:do not|never) (?:ignore|tolerate|allow|accept|permit) (?P<x>.{{2,}})$"),
    ("anomaly", rf"{_LEAD}(?:flag|alarm|report|detect|catch|watch (?:out )?for|look (?:out )?for|find|mark|alert(?: me"
        rf"| us)?(?: on| about| for| when| if| whenever)?|warn(?: me| us)?(?: about| of| when| if| whenever)?"
        rf"|raise an? (?:alarm|alert)(?: for| when| if| on| whenever)?|tell me (?:when|whenever|if)|notify (?:me"
        rf"|us) (?:when|if|of|about|whenever)|forbid|prohibit) (?:it (?:when|if) |every time |when |if "
        rf"|whenever )?(?P<x>.{{2,}})$"),
    ("normal", rf"{_LEAD}(?:ignore|disregard|skip|tolerate|allow|permit|accept|whitelist|exclude|mute|suppress"
        rf"|overlook) (?:it when |that |when |if )?(?P<x>.{{2,}})$"),
)  # fmt: skip
_AS = re.compile(rf"(?P<x>.{{2,}}?) as (?:an? )?(?P<state>{_NORMAL}|{_ABNORMAL})$")
_DUTY = re.compile(
    rf"{_LEAD}(?P<x>.{{2,}}?) (?:must|should|shall|has to|have to|needs to|need to|may|can|is to|are to|is supposed to"
    rf"|are supposed to)"
    r"(?P<not> not| never| only)? (?P<y>.{2,})$"
)
_NOBODY = re.compile(
    rf"{_LEAD}(?:nobody|no ?one|no person|no people|none) (?:may|must|should|shall|can|is allowed to|are allowed to"
    rf"|is permitted to)(?: ever)? (?P<y>.{{2,}})$"
)
_NOBODY_AT = re.compile(
    rf"{_LEAD}(?:nobody|no ?one|no person|no people) (?:is |are )?(?:allowed |permitted )(?P<y>(?:in|on|near|inside|at"
    rf"|around|behind) .{{2,}})$"
)
_NO = re.compile(rf"{_LEAD}no (?P<x>[a-z].{{2,}}?)(?: (?:is|are) (?:allowed|permitted|tolerated))?{_TAIL}$")


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A definition taken apart: the `body` it is about, its polarity and severity, and assumptions made on the way.

    `duty` is True where the sentence says what must be: the body then is what breaks it. `dropped` are words outside the body that do
    not state the polarity either; `explicit` is False where the polarity was only assumed.
    """

    text: str
    body: str
    polarity: Polarity
    severity: int | None = None
    duty: bool = False
    assumptions: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    explicit: bool = True


def read_statement(text: str, *, keep: frozenset[str] = frozenset()) -> Statement:
    """Polarity, severity and body of a definition; words in `keep` are never mended.

    Raises:
        BadInput: as `check_text`, and a language that the fixed rules do not read.

    >>> read_statement("From now on a person without a helmet near the press is an anomaly").body
    'a person without a helmet near the press'
    >>> found = read_statement("The pressure must not exceed 7 bar")
    >>> found.polarity, found.body, found.duty
    ('anomaly', 'the pressure exceed 7 bar', True)
    """
    line = check_text(text)
    check_language(line)
    plain = plain_numbers(_plain(line, keep)).strip(" .!,;")
    severity = next(
        (
            level
            for level, words in _SEVERITY
            if re.search(rf"\b(?:{words})\b", plain) and not re.search(rf"\bnot (?:{words})\b", plain)
        ),
        None,
    )
    statement = _stated(plain, line)
    if statement.polarity == "normal":
        severity = None
    trimmed = _trim(statement.body)
    body = _negated(trimmed)
    return replace(statement, severity=severity, body=body, dropped=() if statement.duty else _dropped(plain, trimmed))


def states_verdict(text: str) -> bool:
    """True when a text says in so many words that something is an anomaly, or normal: then it is a definition and no question.

    >>> states_verdict("scratches under 2 mm do not matter"), states_verdict("pressure must stay below 7 bar")
    (True, True)
    >>> states_verdict("what is wrong here?"), states_verdict("pressure above 7 bar")
    (False, False)
    """
    try:
        return read_statement(text).explicit
    except BadInput:
        return False


def _plain(line: str, keep: frozenset[str]) -> str:
    """Lower case without contractions and polite wrappers; quoted parts stay, since a definition may quote a command line."""
    if detect_language(line.lower()) == "en" and not re.search(r"[\"“”«»`\\/]|\.\w{2,4}\b", line):
        words = frozenset(re.findall(r"[^\W\d_]+", line.lower()))
        return tidy(line, keep=keep | (words - wordlist("mend") if len(words) > 60 else keep)).plain or line.lower()
    plain = " ".join(line.lower().replace("’", "'").split())
    for pattern, replacement in replacements("contractions", whole_words=False):
        plain = pattern.sub(replacement, plain)
    return plain


def _stated(plain: str, line: str) -> Statement:
    if re.match(rf"{_LEAD}(?:only|nothing but|nobody but) ", plain):
        raise BadInput("I cannot turn “only” round: name what is an anomaly instead, e.g. “a person in the yard is an anomaly”.")
    for polarity, pattern in _STATED:
        match = re.match(pattern, plain)
        if match is None:
            continue
        body = match["x"] + (match.groupdict().get("place") or "")
        marked = _AS.match(body)  # "flag bicycles as normal"
        if marked is not None:
            normal = re.fullmatch(_NORMAL, marked["state"]) is not None
            return Statement(text=line, body=marked["x"], polarity="normal" if normal else "anomaly")
        if polarity == "anomaly" and (nested := _duty(body, line)) is not None and not re.match(r"(?:if|when)\b", body):
            return nested
        return Statement(text=line, body=body, polarity="normal" if polarity == "normal" else "anomaly")
    if (duty := _duty(plain, line)) is not None:
        return duty
    draft = read_rule(plain)
    if draft is not None:
        return Statement(text=line, body=draft.subject, polarity=draft.polarity)
    body = re.sub(_LEAD, "", plain)
    return Statement(
        text=line, body=body, polarity="anomaly", explicit=False,
        assumptions=("The sentence does not say whether this is an anomaly or normal; it was taken as an anomaly.",),
    )  # fmt: skip


_OPPOSITES: tuple[tuple[str, str], ...] = (
    (
        r"\b(?:stay|stays|be|remain|remains|lie|lies|run|keep|is|are)?\s*(?:strictly )?(?:below|under|less than|lower than)\b",
        "at least",
    ),
    (
        r"\b(?:stay|stays|be|remain|remains|lie|lies|keep|is|are)?\s*(?:strictly )?(?:above|over|more than|higher than"
        r"|greater than)\b",
        "at most",
    ),
    (r"\b(?:stay|stays|be|remain|remains|lie|lies|keep|is|are|have|has)?\s*at least\b", "below"),
    (r"\b(?:stay|stays|be|remain|remains|lie|lies|keep|is|are|have|has)?\s*(?:at most|no more than|not more than)\b", "above"),
    (r"\b(?:stay|stays|be|remain|remains|lie|lies|keep|is|are)?\s*(?:between|within|in the range(?: of)?)\b", "outside"),
    (r"\b(?:stay|stays|be|remain|remains|lie|lies|keep|is|are)?\s*outside\b", "between"),
    (r"\b(?:wear|wears|have|has|carry|carries|hold|holds|show|use|bear)\b", "without"),
    (r"\bbe (?:off|switched off|stopped|closed)\b", "is on"),
    (r"\bbe (?:on|switched on|running|open)\b", "is off"),
)


def _duty(plain: str, line: str) -> Statement | None:
    """What breaks a duty: "must stay below 7" is broken at 7 and above, "nobody may enter" by a person who enters."""
    for pattern in (_NOBODY, _NOBODY_AT):
        match = pattern.match(plain)
        if match is not None:
            return Statement(text=line, body=f"a person {match['y']}", polarity="anomaly", duty=True)
    match = _DUTY.match(plain)
    if match is None:
        none = _NO.match(plain)
        if none is None or re.match(r"no (?:data|readings?|values?|signal|update|need|measurements?)\b", plain):
            return None
        return Statement(text=line, body=none["x"], polarity="anomaly", duty=True)
    x, y, denied = match["x"], match["y"], (match["not"] or "").strip()
    if denied in ("not", "never"):
        return Statement(text=line, body=f"{x} {re.sub(r'^be ', '', y)}", polarity="anomaly", duty=True)
    if denied == "only":
        raise BadInput("I cannot turn “only” round: name what is an anomaly instead, e.g. “a person in the yard is an anomaly”.")
    permitted = re.match(r".* (?:may|can) ", plain[: match.start("y")] + " ") is not None
    if permitted:
        return Statement(text=line, body=f"{x} {re.sub(r'^be ', '', y)}", polarity="normal")
    for words, broken in _OPPOSITES:
        found = re.search(words, y)
        if found is not None:
            return Statement(
                text=line, body=f"{x} {y[: found.start()]} {broken} {y[found.end() :]}", polarity="anomaly", duty=True
            )
    raise BadInput(
        f"This says what must be, and I cannot tell what breaks it: “{y[:60]}”. Say what is an anomaly instead, e.g. “X "
        f"above 7 is an anomaly”."
    )


_NEGATED = (
    (r"\bnot (?:\w+ )?(?:between|within|in the range(?: of)?|inside)\b", "outside"),
    (r"\bnot (?:above|over|more than|higher than)\b", "at most"),
    (r"\bnot (?:below|under|less than|lower than)\b", "at least"),
    (r"\bnot outside\b", "between"),
)


def _negated(body: str) -> str:
    """A denied comparison as the opposite one.

    >>> _negated("humidity is not between 40 and 60 %")
    'humidity is outside 40 and 60 %'
    """
    for words, opposite in _NEGATED:
        body = re.sub(words, opposite, body)
    return body


def _trim(body: str) -> str:
    if re.match(r"(?:if|when|while|whenever) [^,]+, ?\w", body):
        return " ".join(body.strip(" .,;:!").split())
    body = re.sub(
        r"^(?:(?:if|when|whenever|that|it when|every time|cases? (?:where|of)|situations? (?:where|in which))\s+)+",
        "",
        body.strip(" .,;:!"),
    )
    body = re.sub(r"\s+(?:here|for us|from now on|please|at this place)$", "", body)
    return " ".join(body.split())


SAYS_NOTHING = word_set(
    """
    want wants
    a about accept accepted alarm alarms alert alerts all allow also always an and are as at be been being bother but
    can care catch classify completely consider considered count counted counts define detect disregard do does doesn
    don else ever every everything exclude extremely find flag flagged for forbid from future get got had has have
    here highly i if ignore ignored in is isn it just know label like look mark marked matter may me means mind must
    mute my need never new no not note notify now of on only our out overlook perfectly permit permitted please
    prohibit quite raise really regard regarded remember report reported rule s see should skip so such suppress take
    tell that the then there these things think this those though time to tolerate tolerated too totally treat treated
    us very view warn was watch we well were when whenever whitelist will worry would you
    """
)  # fmt: skip


def _dropped(plain: str, body: str) -> tuple[str, ...]:
    """Runs of words that are neither in the body nor say anything about polarity or severity."""
    known = set(re.findall(r"[\w°%./\\-]+", body))
    rest = re.sub(rf"\b(?:{_ABNORMAL}|{_NORMAL})(?!\w)", " , ", plain)
    rest = re.sub(rf"\b(?:{'|'.join(words for _, words in _SEVERITY)})\b", " , ", rest)
    runs: list[str] = []
    for piece in re.split(r"[,;:]", rest):
        run: list[str] = []
        for word in [*re.findall(r"[\w°%./\\-]+", piece), ""]:
            if word and word not in known and (run or word not in SAYS_NOTHING):
                run.append(word)
            elif run:
                if word in ("the", "a", "an", "our", "my", "this") and word in known:
                    run.append(word)
                    continue
                runs.append(" ".join(run))
                run = []
    return tuple(r for r in runs if set(r.split()) - SAYS_NOTHING)
