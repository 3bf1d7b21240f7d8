"""What people write about readings: quantities and their units, machines that are on or off, changes, and which channel is meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from agent.question import SourceInfo
from agent.reading.channels import find_channels
from agent.reading.phrases import headed
from agent.reading.values import Comparison, find_comparison, same_unit
from agent.rules.duties import tolerances

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
    r"draws?|drawing|takes?|pulls?|consumes?|delivers?|registers?|indicates?|displays?|comes?|lies?|keeps?|runs?|running"
    r"|reaches|at|of|to|a|the|that|which|has|have|value|values|readings?|measures?|ever"
    r"|again|suddenly|constantly|always|continuously|permanently)"
)
ARTICLES = re.compile(
    r"^(?:(?:the|a|an|any|every|each|some|all|our|my|its|if|when|that|and|or|but|value of|readings? of|level of)\s+)+"
)
ANY = re.compile(
    r"^(?:any|every|each|all|some|a|one|no)?(?: of)?(?: the)? ?(?:sensors?|channels?|signals?|metrics?|readings?|values?"
    r"|columns?|things?|anything|something|everything|it)$|^(?:any|every|each|all)$"
)
STATE = re.compile(
    r"^(?P<x>.+?)\s+(?:(?:is|are|was|were|does|do|being|stays?|remains?)\s+)*(?P<not>not\s+|never\s+)?(?:being\s+)?(?:switched |turned )?"
    r"(?P<s>on|off|running|runs?|operates?|operating|stopped|idle|active|inactive|closed|shut|open|standing still|working|works?)$"
)
ON = frozenset({"on", "running", "runs", "run", "operates", "operate", "operating", "active", "open", "working", "work", "works"})
PLAINLY = frozenset({"on", "off", "running", "runs", "run", "stopped", "operating", "operates", "operate"})
"""Words for on and off that need no note."""
MACHINE = re.compile(
    r"\b(?:pumps?|motors?|valves?|fans?|compressors?|heaters?|engines?|conveyors?|machines?|burners?|generators?|turbines?"
    r"|blowers?|mixers?|coolers?|chillers?|boilers?|relays?|switch(?:es)?|drives?|spindles?|furnaces?)$"
)
SPLIT = re.compile(
    r"\s*,?\s*\b(?P<w>when|while|whenever|if|unless|although|even though|though|whereas"
    r"|with(?=\s+(?:the\s+)?\w+(?:\s\w+)?\s+(?:running|on|off|open|closed|stopped|idle)\b)"
    r"|as long as|during the time|at the same time as|provided(?: that)?"
    r"|except when|except while)\b\s+"
)
CHANGE = re.compile(
    r"\b(?P<v>(?:rise|fall|drop|increase|decrease|jump|loss|change)(?= of\b)|ris(?:es?|ing)|rose|increas(?:es?|ing)"
    r"|climb(?:s|ing)?|jump(?:s|ing)?|grow(?:s|ing)?|go(?:es|ing)? up|heat(?:s|ing)? up|"
    r"drop(?:s|ping)?|fall(?:s|ing)?|fell|decreas(?:es?|ing)|sink(?:s|ing)?|go(?:es|ing)? down|cool(?:s|ing)? down"
    r"|los(?:es?|ing)|"
    r"spik(?:es?|ing)|surg(?:es?|ing)|shoot(?:s|ing)? up|plung(?:es?|ing)|dip(?:s|ping)?|plummet(?:s|ing)?|collaps(?:es?|ing)|"
    r"chang(?:es?|ing)|oscillat(?:es?|ing)|var(?:ies|ying)|fluctuat(?:es?|ing)|swing(?:s|ing)?|deviat(?:es?|ing)|mov(?:es?|ing))\s+"
    r"(?:by\s+|of\s+)?(?P<f>(?:more|faster|quicker|less|slower) than|over|at least|at more than"
    r"|up to)?\s*(?P<n>\d+(?:\.\d+)?)\s*(?P<u>(?:°\s?[cf]?|%|[a-zµ²³/]{1,8})(?:\s?(?:celsius|fahrenheit))?)?"
)
UPWARDS = re.compile(r"ris|rose|increas|climb|jump|grow|up$|spik|surg")
DOWNWARDS = re.compile(r"drop|fall|fell|decreas|sink|down$|los|plung|dip|plummet|collaps")
STEADILY = re.compile(
    r"\s+(?:(?:is|are|keeps?|starts?|begins?|still|steadily|constantly|continuously|to|on)\s+)*"
    r"(?P<v>ris(?:es?|ing)|increas(?:es?|ing)|climb(?:s|ing)?|grow(?:s|ing)?|go(?:es|ing)? up|drop(?:s|ping)?|fall(?:s|ing)?"
    r"|decreas(?:es?|ing)|sink(?:s|ing)?|go(?:es|ing)? down)(?: steadily| constantly| continuously| at all| further)?\s*$"
)
"""A rise or fall without an amount, at the end of a clause."""
GAP = re.compile(
    r"\b(?:no (?:new )?(?P<c>[a-z_]\w* )?(?:data|readings?|values?|signal|updates?|measurements?)|without (?:data|readings?"
    r"|values?|a signal)"
    r"|missing (?:data|readings?|values?)|(?:data|signal|readings?|values?) (?:gaps?|loss|(?:is |are )?(?:missing|lost"
    r"|absent)|is missing|missing|lost)|gaps? in the (?:data"
    r"|readings?|recording)|stops? (?:sending|reporting))\b"
)
FLAT = re.compile(
    r"\b(?:(?:has|have|is|are|does|do) not (?:be )?(?:mov|chang)(?:ed|ing|e)(?: at all)?|not moving|no change|(?:stays?"
    r"|remains?) (?:exactly |precisely )?the same"
    r"|the same value|flat(?: ?lin\w*)?|frozen|stuck(?: (?:at|on) (?:one|1|the same|a single) (?:value|reading|level))?"
    r"|constant|does not change(?: at all)?|do not change"
    r"|not chang(?:e|ing)(?: at all)?|unchanged|without (?:any )?change)\b"
)
EQUAL = re.compile(
    r"(?:\b(?:equals?|(?:is |are )?(?P<not>not )?(?:exactly|equal to|at)|does (?P<not2>not )equal|(?:is|are)(?P<not3> not)?"
    r"|(?P<not4>differs) from)"
    r"\s+|(?P<not5>!)?=\s*)(?P<n>[-−]?\d+(?:\.\d+)?)(?P<u>\s*(?:°\s?[cf]?|%"
    r"|[a-z]{1,6}))?(?=\s*$|\s+(?:for|when|while|and|although)\b)"
)
OR_MORE = re.compile(
    r"(?:\b(?:of|is|are|at|reaches|hits)\s+)?(?P<n>[-−]?\d+(?:\.\d+)?)(?P<u>\s*(?:°\s?[cf]?|%|percent|[a-zµ²³]{1,5}(?:/\w{1,3})?))? or "
    r"(?P<d>more|higher|above|over|greater|hotter|faster|less|lower|below|under|fewer|colder|slower)\b(?!\s*(?:than\s*)?[-−]?\d)"
)
ZERO = re.compile(r"\b(?P<v>is|are|at|be|equals|of|stays|stays at|remains)(?P<not> not)? (?:at |exactly )?zero\b")
BEFORE_UNIT = re.compile(r"^\s*(?P<u>°\s?[cf]?\b|%|[a-zµ²³/0-9]{1,8})\b")


_OF_TWO = (
    r"(?P<up>above|higher than|over|hotter than|warmer than|greater than|bigger than|larger than|faster than|more than|exceed(?:s|ing)?)"
    r"|(?:below|lower than|under|colder than|cooler than|less than|smaller than|slower than)"
)
BESIDE = re.compile(
    rf"^(?P<a>.+?)\s+(?:(?:is|are|gets|goes|rises|falls|drops|runs|lies|stays)\s+)*(?:(?P<m>more than|at least|over|less than"
    rf"|below|under|at most)?\s*"
    rf"(?P<n>\d+(?:\.\d+)?)\s*(?P<u>(?:°\s?[cf]?|%|degrees?|[a-zµ]{{1,5}}(?:/\w{{1,3}})?)(?=\s))?\s*(?P<or>or more )?)?(?:{_OF_TWO})\s+"
    r"(?P<b>(?:the )?[a-z_][^\d,;]*?\d{0,3})$"
)
"""One channel above or below another, by an amount or at all."""
BESIDE_BY = re.compile(
    rf"^(?P<a>.+?)\s+(?:(?:is|are|gets|goes|rises|falls|drops|runs|lies"
    rf"|stays)\s+)*(?:{_OF_TWO})\s+(?P<b>(?:the )?[a-z_][^\d,;]*?\d{{0,3}})"
    r"\s+by\s+(?P<m>more than|at least|over|less than|at most)?\s*(?P<n>\d+(?:\.\d+)?)\s*(?P<u>°\s?[cf]?|%|degrees?"
    r"|[a-zµ]{1,5}(?:/\w{1,3})?)?"
    r"(?P<or> or more)?$"
)
APART = re.compile(
    r"^(?:the )?(?:(?:difference|delta|gap|deviation|distance) (?:between|of|in) )?(?P<a>.+?) (?:(?:differs?"
    r"|deviates?) )?(?:and|from) (?P<b>.+?)"
    r"(?: differ(?:s|ing)?(?: by)?| deviat(?:es?|ing)(?: by)?| lie| are| is| by)?\s+(?P<h>more than|above|over|at least"
    r"|exceeds|less than|below|under)"
    r"\s*(?P<n>\d+(?:\.\d+)?)\s*(?P<u>°\s?[cf]?|%|degrees?|[a-zµ]{1,5}(?:/\w{1,3})?)?(?: apart| from each other)?$"
)
"""How far two channels are apart."""


_DIFFERENCE = re.compile(
    r"^(?P<h>more than|over|at least|less than)\s+(?P<n>\d+(?:\.\d+)?(?:\s?(?:°\s?[cf]?|%|degrees?"
    r"|[a-zµ]{1,5}(?:/\w{1,3})?))?)\s+(?:of )?"
    r"(?:\w+ )?(?:difference|gap) between (?P<ab>.+ and .+)$"
)
_ONE_STEP = re.compile(
    r"\bfrom (?:one|1) (?:reading|row|sample|value|measurement) to the (?:next|other)\b"
    r"|\bbetween (?:two |2 )?(?:successive|consecutive|neighbou?ring) (?:readings|rows|samples|values)\b"
)


def plain_form(body: str) -> str:
    """Other ways to say a comparison as the ones that are read.

    >>> plain_form("vibration of 7.1 mm/s or more"), plain_form("flow is zero"), plain_form("temp 72 °c ± 2")
    ('vibration at least 7.1 mm/s', 'flow is 0', 'temp between 70 and 74 °c')
    """
    body = re.sub(
        r"\b(?:leaves?|leaving|(?:is|are|goes|gets|falls|runs) out of|out of)\s+(?:the )?(?:range |band |window "
        r"|limits? )?(?:of |from |between )?"
        r"(?=[-−]?\d+(?:\.\d+)?\s*(?:-|–|to|and|\.\.))", "outside ", body,
    )  # fmt: skip
    body = re.sub(r"(?<=[\w%°])\s+(?:band|range|window|corridor)$", "", body)
    body = re.sub(r"\b(?:sur)?passes (?=[-−]?\d)", "exceeds ", body)
    body = re.sub(r"\b(?:is|are|be|lie) both\b", "both", body)
    body = _DIFFERENCE.sub(r"difference between \g<ab> \g<h> \g<n>", body)
    body = _ONE_STEP.sub("within 2 readings", body)
    body = re.sub(r"(?<=\d)\s*(?:\.\.+|…)\s*(?=[-−]?\d)", " to ", body)
    body = re.sub(r"\b(?:drop|fall|dip|sink|decreas)(?:s|es|ped|ing|e)? (?:down )?to (?=zero\b)", "is ", body)
    body = re.sub(r"\b(?:drop|fall|dip|sink|decreas)(?:s|es|ped|ping|ing|e)? (?:down )?to (?=[-−]?\d)", "at most ", body)
    body = re.sub(r"\b(?:drop|dip)ping to (?=zero\b)", "is ", body)
    body = re.sub(r"\b(?:ris|climb|increas|grow)(?:s|es|ing|e)? (?:up )?to (?=[-−]?\d)", "at least ", body)
    body = re.sub(r"\b(?:warmer|stronger|heavier|louder) than\b", "higher than", body)
    body = re.sub(r"\b(?:cooler|weaker|lighter) than\b", "lower than", body)
    body = OR_MORE.sub(
        lambda m: (
            f"at {'most' if m['d'] in ('less', 'lower', 'below', 'under', 'fewer', 'colder', 'slower') else 'least'} "
            f"{m['n']}{m['u'] or ''}"
        ),
        tolerances(body),
    )
    return ZERO.sub(lambda m: f"{m['v'] if m['v'] in ('is', 'are', 'at', 'equals') else 'is'}{m['not'] or ''} 0", body)


def comparison_in(text: str, info: SourceInfo) -> Comparison | None:
    """The first comparison of readings with a number; of a channel, a range counts without a verb, too ("pressure between 2 and 4").

    >>> pump = SourceInfo(name="series", kind="series", channels=("pressure",))
    >>> comparison_in("pressure between 0.2 and 0.4", pump).low, comparison_in("logins between 2 and 4", pump)
    (0.2, None)
    """
    found = find_comparison(text, info)
    if found is not None:
        return _with_words(found, text)
    match = re.search(r"\b(?:between|from|within)\s*[-−]?\d", text)
    if match is None or not (QUANTITY_WORD.search(text[: match.start()]) or find_channels(text[: match.start()], info).channels):
        return None
    said = f"{text[: match.start()]}is {text[match.start() :]}"
    found = find_comparison(said, info)
    if found is None:
        return None
    found = _with_words(found, said)
    return replace(found, span=(found.span[0] - 3, found.span[1] - 3))


def _with_words(found: Comparison, text: str) -> Comparison:
    """A comparison whose span takes in the words that compare, not only the number."""
    words = dict(headed("reading"))[found.how.replace(" ", "_")].pattern
    ends = [m for m in re.finditer(rf"(?:{words})\s*(?=(?P<n>.))", text) if m.start("n") == found.span[0]]
    return replace(found, span=(min(m.start() for m in ends), found.span[1])) if ends else found


def quantity_of(unit: str) -> str:
    """What a unit measures, or "".

    >>> quantity_of("bar"), quantity_of("m")
    ('pressure', '')
    """
    return next((name for name, units in QUANTITIES if same_unit(unit) in units), "")


DERIVED = re.compile(
    r"\b(?:differences?|delta|ratio|quotient|sum|averages?|mean|median|derivative|variance|deviation|std|sigma|correlation"
    r"|twice|half|usual|usually|normally|typical(?:ly)?)\b"
)


def not_derived(word: str) -> str:
    """Why a definition about an average, a share of the usual and the like is not kept."""
    return (
        f"“{word}”: a rule compares readings with a number or with another channel, nothing that is calculated from them. What is "
        f"unusual for a channel the detectors find without a rule: ask “what is unusual here?”."
    )


def units_of(sources: Sequence[SourceInfo]) -> frozenset[str]:
    """The units of all channels at hand, comparable with `same_unit`."""
    return frozenset(same_unit(u) for s in sources for u in s.units if u)


def shown_unit(unit: str) -> str:
    """A unit as it is usually written.

    >>> shown_unit("°c"), shown_unit("degrees celsius"), shown_unit("bar"), shown_unit("kpa")
    ('°C', '°C', 'bar', 'kPa')
    """
    plain = same_unit(unit)
    return plain.upper() if plain in ("°c", "°f", "°k", "a", "v", "w") else _WRITTEN.get(plain, unit.strip())


_WRITTEN = {
    "pa": "Pa", "kpa": "kPa", "mpa": "MPa", "hpa": "hPa", "ma": "mA", "mv": "mV", "kv": "kV", "kw": "kW", "hz": "Hz", "khz": "kHz",
    "nm": "Nm", "kwh": "kWh",
}  # fmt: skip


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
    if _NO_NAME.search(phrase):
        return otherwise, phrase
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


_NO_NAME = re.compile(
    r"(?<![\w.-])(?:by|than|more|less|not|no|never|although|though|but|without|except|unless|only|twice|half|per|followed|then|before"
    r"|after|until|because|usual\w*|normal\w*|times|like|while|when|if|is|are|oscillat\w+|swings?|swinging|fluctuat\w+"
    r"|alternat\w+|cycles?|varies|varying|spikes?|jumps?|rises?|falls?"
    r"|drops?)(?![\w.-])|[<>{};=]"
    r"|^(?:in|on|at|inside|from|near|under|behind|keep|hold)\b"
)
"""Words that stand in no channel's name: a phrase with them was not understood."""


def clean_words(text: str) -> str:
    """Words without those that say nothing of a channel.

    >>> clean_words("in the tank")
    'tank'
    """
    return " ".join(
        w
        for w in text.split()
        if w not in ("is", "are", "the", "a", "an", "and", "of", "in", "it", "that", ",", ".", "at", "all", "then", "this", "=")
    )
