"""What people write about readings: quantities and their units, machines that are on or off, changes, and which channel is meant."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.question import SourceInfo
from agent.reading.channels import find_channels
from agent.reading.values import same_unit

QUANTITIES: tuple[tuple[str, frozenset[str]], ...] = (
    ("pressure", frozenset({"bar", "mbar", "psi", "pa", "kpa", "mpa", "hpa", "atm"})),
    ("temperature", frozenset({"°", "°c", "°f", "°k", "k"})), ("vibration", frozenset({"g", "mm/s", "m/s2"})),
    ("current", frozenset({"a", "ma"})), ("voltage", frozenset({"v", "mv", "kv"})), ("power", frozenset({"w", "kw", "mw"})),
    ("flow", frozenset({"l/min", "l/s", "m3/h", "lpm", "gpm"})), ("speed", frozenset({"rpm", "hz", "m/s", "km/h"})),
    ("energy", frozenset({"kwh"})), ("mass", frozenset({"kg"})), ("torque", frozenset({"nm"})),
)  # fmt: skip
QUANTITY_WORD = re.compile(
    r"\b(?:temp(?:erature)?s?|pressures?|vibrations?|acceleration|accelerometers?|currents?|voltages?|power"
        r"|flow(?: ?rate)?s?|throughput|speeds?|rpm|humidity|moisture|torque|"
    r"levels?|cpu|memory|load|traffic|sensors?|channels?|signals?|metrics?|readings?|values?|columns?|thermocouples?"
        r"|consumption|frequency|rotation|concentration|co2|ph|weight|"
    r"volume|density|viscosity|conductivity|turbidity|force|strain|displacement|amplitude|rms|energy|latency|queue|disk"
        r"|requests?|errors? rate|response time|brightness)\b"
)  # fmt: skip
VERB = (
    r"(?:is|are|was|were|be|being|gets?|goes|go|going|stays?|staying|remains?|remaining|rises?|rising|drops?|dropping"
    r"|falls?|falling|climbs?|climbing|sinks?|reads?|reading|shows?|"
    r"comes?|lies?|keeps?|runs?|running|reaches|at|of|to|a|the|that|which|has|have|value|values|readings?|measures?|ever"
    r"|again|suddenly|constantly|always|continuously|permanently)"
)
ARTICLES = re.compile(
    r"^(?:(?:the|a|an|any|every|each|some|all|our|my|its|if|when|that|and|or|but|value of|readings? of|level of)\s+)+"
)
ANY = re.compile(
    r"^(?:any|every|each|all|some|a|one|no)?(?: of)?(?: the)? ?(?:sensors?|channels?|signals?|metrics?|readings?|values?"
    r"|columns?|things?|anything|something|everything|it)$"
)
STATE = re.compile(
    r"^(?P<x>.+?)\s+(?:is |are |being |stays? |remains? )?(?:switched |turned )?(?P<s>on|off|running|runs?|operates|stopped"
    r"|not running|idle|active|inactive|closed|open|standing still|working|not working|zero|at zero)$"
)
ON = frozenset({"on", "running", "runs", "run", "operates", "active", "open", "working"})
MACHINE = re.compile(
    r"\b(?:pumps?|motors?|valves?|fans?|compressors?|heaters?|engines?|conveyors?|machines?|burners?|generators?|turbines?"
    r"|blowers?|mixers?|coolers?|chillers?|boilers?|relays?|switch(?:es)?|drives?|spindles?|furnaces?)$"
)
SPLIT = re.compile(
    r"\s*,?\s*\b(?P<w>when|while|whenever|if|unless|as long as|during the time|at the same time as|provided(?: that)?"
    r"|except when|except while)\b\s+"
)
CHANGE = re.compile(
    r"\b(?P<v>(?:rise|fall|drop|increase|decrease|jump|loss|change)(?= of\b)|ris(?:es?|ing)|rose|increas(?:es?|ing)"
    r"|climb(?:s|ing)?|jump(?:s|ing)?|grow(?:s|ing)?|go(?:es|ing)? up|heat(?:s|ing)? up|"
    r"drop(?:s|ping)?|fall(?:s|ing)?|fell|decreas(?:es?|ing)|sink(?:s|ing)?|go(?:es|ing)? down|cool(?:s|ing)? down"
    r"|los(?:es?|ing)|"
    r"chang(?:es?|ing)|var(?:ies|ying)|fluctuat(?:es?|ing)|swing(?:s|ing)?|deviat(?:es?|ing)|mov(?:es?|ing))\s+"
    r"(?:by\s+|of\s+)?(?P<f>(?:more|faster|quicker|less|slower) than|over|at least|at more than"
    r"|up to)?\s*(?P<n>\d+(?:\.\d+)?)\s*(?P<u>(?:°\s?[cf]?|%|[a-zµ²³/]{1,8})(?:\s?(?:celsius|fahrenheit))?)?"
)
UPWARDS = re.compile(r"ris|rose|increas|climb|jump|grow|up$")
DOWNWARDS = re.compile(r"drop|fall|fell|decreas|sink|down$|los")
GAP = re.compile(
    r"\b(?:no (?:new )?(?:data|readings?|values?|signal|updates?|measurements?)|without (?:data|readings?|values?|a signal)"
    r"|missing (?:data|readings?|values?)|(?:data|signal) (?:gaps?|loss|is missing|missing|lost)|gaps? in the (?:data"
    r"|readings?|recording)|stops? (?:sending|reporting))\b"
)
FLAT = re.compile(
    r"\b(?:flat(?: ?lin\w*)?|frozen|stuck(?: at one value)?|constant|does not change(?: at all)?|do not change"
    r"|not chang(?:e|ing)(?: at all)?|unchanged|without (?:any )?change)\b"
)
EQUAL = re.compile(
    r"(?:\b(?:equals?|is exactly|exactly|equal to|is)\s+|=\s*)(?P<n>[-−]?\d+(?:\.\d+)?)(?P<u>\s*(?:°\s?[cf]?|%"
    r"|[a-z]{1,6}))?(?=\s*$|\s+(?:for|when|while|and)\b)"
)
BEFORE_UNIT = re.compile(r"^\s*(?P<u>°\s?[cf]?\b|%|[a-zµ²³/0-9]{1,8})\b")


def quantity_of(unit: str) -> str:
    """What a unit measures, or "".

    >>> quantity_of("bar"), quantity_of("m")
    ('pressure', '')
    """
    return next((name for name, units in QUANTITIES if same_unit(unit) in units), "")


DERIVED = re.compile(
    r"\b(?:differences?|delta|ratio|quotient|sum|averages?|mean|median|derivative|variance|deviation|std|sigma|correlation"
    r"|twice|usual)\b"
)


def not_derived(word: str) -> str:
    """Why a definition about a difference, an average and the like is not kept."""
    return f"“{word}”: a rule compares the readings of one channel with a number, nothing that is calculated from them."


def units_of(sources: Sequence[SourceInfo]) -> frozenset[str]:
    """The units of all channels at hand, comparable with `same_unit`."""
    return frozenset(same_unit(u) for s in sources for u in s.units if u)


def shown_unit(unit: str) -> str:
    """A unit as it is usually written.

    >>> shown_unit("°c"), shown_unit("degrees celsius"), shown_unit("bar")
    ('°C', '°C', 'bar')
    """
    plain = same_unit(unit)
    return plain.upper() if plain in ("°c", "°f", "°k", "a", "v", "w") else unit.strip()


def channel_of(words: str, sources: Sequence[SourceInfo], otherwise: str) -> tuple[str, str]:
    """(channel as said, words left over); `otherwise` where none is named.

    >>> channel_of("the motor temperature is", (), ""), channel_of("any sensor goes", (), ""), channel_of("  ", (), "flow")
    (('motor temperature', ''), ('*', ''), ('flow', ''))
    """
    phrase = " ".join(words.split()).strip(" ,.")
    for _ in range(6):
        shorter = re.sub(rf"\s+{VERB}$", "", phrase)
        if shorter == phrase:
            break
        phrase = shorter
    if re.fullmatch(VERB, phrase) and not QUANTITY_WORD.fullmatch(phrase):
        phrase = ""
    if ANY.match(phrase):
        return "*", ""
    phrase = ARTICLES.sub("", phrase).strip()
    if not phrase:
        return otherwise, ""
    for source in sources:
        if source.kind != "series":
            continue
        named = find_channels(phrase, source)
        if named.channels:
            return phrase[:200], ""
    if len(phrase.split()) > 6:
        inner = list(QUANTITY_WORD.finditer(phrase))
        if inner:
            return inner[-1][0], clean_words(phrase[: inner[-1].start()])
        return otherwise, phrase
    return phrase[:200], ""


def clean_words(text: str) -> str:
    """Words without those that say nothing of a channel.

    >>> clean_words("in the tank")
    'tank'
    """
    return " ".join(
        w
        for w in text.split()
        if w not in ("is", "are", "the", "a", "an", "and", "of", "in", "it", "that", ",", ".", "at", "all", "then", "this")
    )
