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
from agent.rules.duties import beyond, broken, said_of, tolerances
from agent.rules.numbers import find_hours, find_lasting, plain_numbers
from agent.rules.verdicts import (
    ABNORMAL,
    AS,
    BOTH,
    LEAD,
    MEANS,
    NORMAL,
    OTHERWISE,
    REST_IS_NOT,
    SEVERITY,
    SPOT,
    STATED,
    TAIL,
    THEN,
)
from agent.rules.words import word_set
from core.errors import BadInput
from core.rules import Polarity

_MUST = (
    r"(?P<m>must|should|shall|has to|have to|needs to|need to|may|can|is to|are to|is supposed to|are supposed to|ought to"
    r"|is required to|are required to)"
)
_DUTY = re.compile(
    rf"{LEAD}(?P<x>.{{2,}}?(?<!\bevery)(?<!\beach)(?<!\bthe)(?<!\ba)(?<!\bany)) {_MUST}(?P<not>(?: not| never"
    rf"| only| always| normally| usually| generally| all| both| at all times| by no means)*) (?P<y>.{{2,}})$"
)
_NOBODY = re.compile(
    rf"{LEAD}(?:nobody|no ?one|no person|no people|none)(?P<who> (?:without|with|but|except|other than|wearing|in) [^,]{{2,40}}?)?"
    rf" (?:may|must|should|shall|can|is allowed to|are allowed to"
    rf"|is permitted to)(?: ever)? (?P<y>.{{2,}})$"
)
_NOBODY_AT = re.compile(
    rf"{LEAD}(?:nobody|no ?one|no person|no people) (?:is |are )?(?:allowed |permitted )(?P<y>(?:in|on|near|inside|at"
    rf"|around|behind) .{{2,}})$"
)
_NO = re.compile(
    rf"{LEAD}no (?P<x>[a-z].{{2,}}?)(?:(?: (?:is|are))? (?:allowed|permitted|tolerated|wanted|acceptable))?(?P<place> {SPOT})?{TAIL}$"
)


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
    ('anomaly', 'the pressure exceeds 7 bar', True)
    """
    line = check_text(text)
    check_language(line)
    plain = OTHERWISE.sub("", plain_numbers(_plain(line, keep)).strip(" .!,;"))
    plain = _AT_END.sub(r"at \g<m> \g<n>", plain)
    plain = _ALLOWED_UP_TO.sub(r"\g<x> may be up to \g<n>", plain)
    plain = _NO_COMMA.sub(r"\g<w>, ", plain)
    if (timed := _TIMED.match(plain)) is not None and (at := find_hours(timed["t"])) and not re.search(r"\w", at[1]):
        plain = f"{timed['r']} {timed['t']}"  # "on sundays no flow above 2"
    then = THEN.match(plain)
    graded = then["x"] if then is not None else plain  # "send a warning" grades nothing
    severity = next(
        (
            level
            for level, words in SEVERITY
            if re.search(rf"\b(?:{words})\b", graded) and not re.search(rf"\bnot (?:{words})\b", graded)
        ),
        None,
    )
    statement = _stated(plain, line)
    if statement.polarity == "normal":
        severity = None
    trimmed = _trim(statement.body)
    body = _negated(trimmed)
    return replace(statement, severity=severity, body=body, dropped=() if statement.duty else _dropped(plain, trimmed))


_AT_END = re.compile(r"(?P<n>\d+(?:\.\d+)?\s?(?:°\s?[cf]?|%|[a-zµ]{1,5}(?:/\w{1,3})?)?) at (?:the |the very )?(?P<m>most|least)$")
_ALLOWED_UP_TO = re.compile(
    r"^(?P<x>.{2,}?) (?:is|are) (?:only )?(?:allowed|permitted|tolerated) (?:only )?(?:up to|until"
    r"|at most) (?P<n>\d.*)$"
)
_NO_COMMA = re.compile(
    r"^(?P<w>(?:when|while|if|as long as) [^,]{3,60}? (?:is|are) (?:on|off|open|closed|running|stopped"
    r"|idle)) (?=(?!and\b|or\b|for\b)\w)"
)
_TIMED = re.compile(
    r"^(?P<t>(?:on|at|during|between|from|after|before|outside) [^,]{2,50}?),? (?P<r>(?:no|nobody|no one|no-one) .+)$"
)


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


_NEVER_MENDED = word_set("fault hearing tearing wearing")
"""Words that are right as they are, and one letter from another: nobody bears a mask."""


def _plain(line: str, keep: frozenset[str]) -> str:
    """Lower case without contractions and polite wrappers; quoted parts stay, since a definition may quote a command line."""
    if detect_language(line.lower()) == "en" and not re.search(r"[\"“”«»`\\/]|\.\w{2,4}\b", line):
        words = frozenset(re.findall(r"[^\W\d_]+", line.lower()))
        return (
            tidy(line, keep=keep | _NEVER_MENDED | (words - wordlist("mend") if len(words) > 60 else keep)).plain or line.lower()
        )
    plain = " ".join(line.lower().replace("’", "'").split())
    for pattern, replacement in replacements("contractions", whole_words=False):
        plain = pattern.sub(replacement, plain)
    return plain


def _stated(plain: str, line: str) -> Statement:
    rest = REST_IS_NOT.match(plain)
    if rest is not None and (opposite := beyond(rest["x"] or rest["only"])):
        return Statement(text=line, body=opposite, polarity="anomaly", duty=True)
    if BOTH.search(plain) is not None:
        raise BadInput("This says that one thing is an anomaly and another normal. Give each definition on its own.")
    for nobody in (_NOBODY, _NOBODY_AT):
        if (match := nobody.match(plain)) is not None:
            who = f"a person{match.groupdict().get('who') or ''}"
            return Statement(text=line, body=f"{who} {match['y'].removeprefix('be ')}", polarity="anomaly", duty=True)
    if (then := THEN.match(plain)) is not None:
        return replace(_stated(then["x"], line), polarity="anomaly", explicit=True, assumptions=(), duty=True)
    if (means := MEANS.match(plain)) is not None and not re.fullmatch(rf"{NORMAL}|{ABNORMAL}", means["y"]):
        return replace(_stated(means["x"], line), polarity="anomaly", explicit=True, assumptions=(), duty=True)
    if re.match(rf"{LEAD}(?:only|nothing but|nobody but) ", plain):
        raise BadInput(_ONLY)
    for polarity, pattern in STATED:
        match = re.match(pattern, plain)
        if match is None:
            continue
        body = match["x"] + (match.groupdict().get("place") or "")
        marked = AS.match(body)  # "flag bicycles as normal"
        if marked is not None:
            normal = re.fullmatch(NORMAL, marked["state"]) is not None
            return Statement(text=line, body=marked["x"], polarity="normal" if normal else "anomaly")
        if (
            polarity == "normal"
            and re.search(r"\b(?:allowed|permitted|tolerated|acceptable|wanted)\b", plain)
            and not _GAP_WORD.match(body)
            and (none := re.match(r"(?:no|none of the|not a single) (?P<z>.+)$", body))
        ):
            return Statement(text=line, body=none["z"], polarity="anomaly", duty=True)  # "no bicycles are allowed"
        if polarity == "anomaly" and (nested := _duty(body, line)) is not None and not re.match(r"(?:if|when)\b", body):
            return nested
        return Statement(text=line, body=body, polarity="normal" if polarity == "normal" else "anomaly")
    if (duty := _duty(plain, line)) is not None:
        return duty
    draft = read_rule(plain)
    if draft is not None:
        return Statement(text=line, body=draft.subject, polarity=draft.polarity)
    body = re.sub(LEAD, "", plain)
    return Statement(
        text=line, body=body, polarity="anomaly", explicit=False,
        assumptions=("The sentence does not say whether this is an anomaly or normal; it was taken as an anomaly.",),
    )  # fmt: skip


_KEEP = re.compile(rf"{LEAD}(?:keep|hold|maintain|leave) (?P<x>.+)$")
_LIMIT = re.compile(
    rf"{LEAD}(?P<x>[a-z][^:]*?):? (?:(?:is|at|has an?) )?(?P<m>max|min|upper limit|lower limit)(?:imum"
    rf"|imal(?:ly)?)?\.?(?: limit)?(?: of| is|:)?"
    r" (?P<y>[-−]?\d.*)$"
)
_ENSURE = re.compile(
    rf"{LEAD}(?:make sure|ensure|check|verify|see to it|take care)(?: that)? (?P<x>.+?) (?P<v>is|are|has|have|does"
    rf"|do)(?P<not> not| never)? (?P<y>.+)$"
)


def _duty(plain: str, line: str) -> Statement | None:
    """What breaks a duty: "must stay below 7" is broken at 7 and above, "nobody may enter" by a person who enters."""
    if (keep := _KEEP.match(plain)) is not None and (opposite := beyond(tolerances(keep["x"]))):
        return Statement(text=line, body=opposite, polarity="anomaly", duty=True)
    if (sure := _ENSURE.match(plain)) is not None:
        verb = {"is": "be ", "are": "be ", "has": "have ", "have": "have "}.get(sure["v"], "")
        plain = f"{sure['x']} must{sure['not'] or ''} {verb}{sure['y']}"
    if (limit := _LIMIT.match(plain)) is not None:
        opposite = "above" if limit["m"].startswith(("max", "upper")) else "below"
        return Statement(text=line, body=f"{limit['x']} {opposite} {limit['y']}", polarity="anomaly", duty=True)
    match = _DUTY.match(plain)
    if match is None:
        none = _NO.match(plain)
        if none is None or find_lasting(plain) or _GAP_WORD.match(plain):
            return None
        return Statement(text=line, body=none["x"] + (none["place"] or ""), polarity="anomaly", duty=True)
    x, said = match["x"], match["not"]
    y = re.sub(r" (?:at all times|all the time|always|throughout)$", "", match["y"])
    if re.fullmatch(r"(?:you|telltale|the (?:system|model|program|assistant|detector))", x):
        raise BadInput(
            "That is an instruction to me, not a definition of an anomaly: say what is an anomaly, or normal, in the data."
        )
    denied = re.search(r"\b(?:not|never|by no means)\b", said) is not None
    if "only" in said:
        hours = find_hours(y)
        if hours is not None and not hours[0].outside and not denied:  # "may only run at night" is broken at all other times
            rest = " ".join(hours[1].split())
            return Statement(text=line, body=f"{said_of(x, rest)} except {hours[0].said}", polarity="anomaly", duty=True)
        if (opposite := beyond(f"{x} {y}")) and not denied:
            return Statement(text=line, body=opposite, polarity="anomaly", duty=True)
        raise BadInput(_ONLY)
    if denied:
        return Statement(text=line, body=said_of(x, y), polarity="anomaly", duty=True)
    bounded = match["m"] in ("may", "can") and not said.strip() and _AT_MOST_FOR.search(y) is None
    if bounded and _UP_TO.search(f"{x} | {y}"):  # "may hold at most 4 people": more are an anomaly
        x, _, y = (part.strip() for part in _UP_TO.sub("more than ", f"{x} | {y}").partition("|"))
        return Statement(text=line, body=said_of(x, y), polarity="anomaly", duty=True)
    if (
        match["m"] in ("may", "can") and (longest := _AT_MOST_FOR.search(y)) is not None
    ):  # "may run for at most 2 s": longer is an anomaly
        return Statement(
            text=line, body=said_of(x, f"{y[: longest.start()]}for more than{y[longest.end() :]}"), polarity="anomaly", duty=True
        )
    if match["m"] in ("may", "can"):
        return Statement(text=line, body=f"{x} {re.sub(r'^be ', '', y)}", polarity="normal")
    return Statement(text=line, body=broken(x, y), polarity="anomaly", duty=True)


_UP_TO = re.compile(r"\b(?:at most|no more than|not more than|up to|a maximum of|max(?:imum|imally)?) (?=\d)")
_AT_MOST_FOR = re.compile(r"\bfor (?:at most|no more than|not more than|up to|a maximum of|no longer than|not longer than)\b")
_GAP_WORD = re.compile(rf"{LEAD}no (?:new )?(?:\w+ )?(?:data|readings?|values?|signals?|updates?|need|measurements?)\b")
_ONLY = "I cannot turn “only” round: name what is an anomaly instead, e.g. “a person in the yard is an anomaly”."


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
        r"^(?:(?:if|when|whenever|as soon as|once|the moment|in case|that|it when|every time"
        r"|cases? (?:where|of)|situations? (?:where|in which))\s+)+",
        "",
        body.strip(" .,;:!"),
    )
    body = re.sub(r"\s+(?:here|for us|from now on|please|at this place)$", "", body)
    return " ".join(body.split())


SAYS_NOTHING = word_set(
    """
    want wants soon moment once let
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
    rest = re.sub(rf"\b(?:{ABNORMAL}|{NORMAL})(?!\w)", " , ", plain)
    rest = re.sub(rf"\b(?:{'|'.join(words for _, words in SEVERITY)})\b", " , ", rest)
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
