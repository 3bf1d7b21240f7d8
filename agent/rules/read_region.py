"""Reading a definition about a defect on a part: its kind, its size, its place, how many there are."""

from __future__ import annotations

import re

from agent.rules.conditions import Place, RegionCondition
from agent.rules.picture_words import SUBJECT, missed_words, singular, unit_of
from agent.rules.words import word_set

_DEFECTS = (
    r"(?:scratch(?:es)?|cracks?|dents?|chips?|stains?|spots?|holes?|bubbles?|burrs?|contaminations?|defects?"
    r"|damages?|odd regions?|unusual regions?|regions?|flaws?|blobs?|discolou?rations?|tears?|cuts?|rust(?: spots?)?"
    r"|corrosion|marks?|smudges?|specks?|pits?|bends?|breaks?|breakages?|deformations?|fractures?|scuffs?|blisters?|pores?"
    r"|inclusions?|fray(?:ing)?|wrinkles?|creases?|fingerprints?|dirt|dust|anomal(?:y|ies)|blemish(?:es)?|imperfections?"
    r"|abrasions?|drips?|streaks?|splash(?:es)?|gouges?|nicks?|grooves?|voids?|cavit(?:y|ies)|delaminations?"
    r"|foreign (?:bod(?:y|ies)|matter)|solder (?:bridges?|balls?)|shorts?|missing parts?)"
)
_ANY_DEFECT = word_set(
    """
    anomalies anomaly blemish blemishes blob blobs damage damages defect defects flaw flaws imperfection imperfections
    odd region regions unusual
    """
)
_DEFECT = re.compile(
    rf"\b(?P<adj>(?:(?:tiny|small|large|big|deep|long|fine|hairline|surface|dark|light|white|black|red|oil|water|paint"
    rf"|glass|edge) )*)(?<!\bis )(?<!\bare )(?<!\bwas )(?P<d>{_DEFECTS})\b(?: (?:marks?|traces?|lines?)\b)?(?! (?:packs?"
    rf"|packages?|cards?|boards?|welds?"
    rf"|lights?|plates?|pins?|heads?|paper|covers?)\b)"
)
_SIZE_UNIT = (
    r"(?P<u>mm2|mm²|cm2|cm²|square (?:mm|cm|millimet(?:er|re)s?|centimet(?:er|re)s?|pixels?)|mm|millimet(?:er"
    r"|re)s?|cm|centimet(?:er|re)s?|µm|um|microns?|inch(?:es)?|px2|px²|square px|px|pixels?|%|per ?cent)"
)
_SIZE = re.compile(
    r"\b(?P<how>under|below|smaller than|less than|shorter than|thinner than|narrower than|up to|at most|no more than"
        r"|not more than|not larger than|over|above|larger than|bigger than|greater than|longer than|wider than|more than"
        r"|exceed(?:s|ing)?|at least|from|of)\s*(?P<n>\d+(?:\.\d+)?)\s*"
    + _SIZE_UNIT + r"(?!\w)(?P<tail>(?: (?:of the (?:picture|image|area|surface|part)|in (?:diameter|length|size|width"
        r"|area)|long|wide|large|big))?)"
)  # fmt: skip
_BETWEEN = re.compile(
    r"\bbetween\s*(?P<n>\d+(?:\.\d+)?)\s*(?:\w+ )?(?:and|to)\s*(?P<m>\d+(?:\.\d+)?)\s*" + _SIZE_UNIT + r"(?!\w)"
)
_NOT_OUTSIDE = re.compile(
    r"\b(?:over|above|larger than|bigger than|greater than|longer than|wider than"
    r"|more than)\s*(?P<n>\d+(?:\.\d+)?)\s*(?:\w+ )?(?:but|and) "
    r"(?:under|below|smaller than|less than|shorter than|thinner than|narrower than)\s*(?P<m>\d+(?:\.\d+)?)\s*"
    + _SIZE_UNIT
    + r"(?!\w)"
)
_HOW = {
    "under": "below", "below": "below", "smaller than": "below", "less than": "below", "shorter than": "below", "thinner than": "below",
    "narrower than": "below", "up to": "at most", "at most": "at most", "no more than": "at most", "not more than": "at most",
    "not larger than": "at most", "at least": "at least", "from": "at least", "of": "equal to",
}  # fmt: skip
_IN = r"(?:in|at|on|near) the"
_UP, _DOWN = r"(?:top|upper)", r"(?:bottom|lower)"
_PLACES: tuple[tuple[Place, str], ...] = (
    (
        "edge",
        r"(?:at|near|on|along|close to) (?:the )?(?:(?!left|right|top|bottom|upper|lower)\w+ )?(?:edges?|rim|border|margin)s?",
    ),
    ("centre", r"(?:in|at|near) the (?:centre|center|middle)"),
    ("upper left", rf"{_IN} {_UP}[- ]left(?: \w+)?"),
    ("upper right", rf"{_IN} {_UP}[- ]right(?: \w+)?"),
    ("lower left", rf"{_IN} {_DOWN}[- ]left(?: \w+)?"),
    ("lower right", rf"{_IN} {_DOWN}[- ]right(?: \w+)?"),
    ("upper", rf"{_IN} {_UP}(?: \w+)?"),
    ("lower", rf"{_IN} {_DOWN}(?: \w+)?"),
    ("left", rf"{_IN} left(?: \w+)?"),
    ("right", rf"{_IN} right(?: \w+)?"),
)


def about_defects(body: str) -> bool:
    """True when a definition is about a defect on a part or the size of a region.

    >>> about_defects("scratches under 2 mm"), about_defects("a person without a helmet")
    (True, False)
    """
    match = _DEFECT.search(body)
    if match is None:
        return False
    return not SUBJECT.search(body[: match.start()]) or bool(_SIZE.search(body))


_BEARER = re.compile(
    r"^(?:an? |the |any |each |every )?(?!\d)\w+(?: \w+)? (?:has|have|shows?|with) (?=an? |any |more |at |\d"
    r"|deep|big|small)"
)
"""The part that bears a defect, which the picture is of."""
_ANY_SIZE = re.compile(
    r",? (?:no matter|regardless of|whatever|however|independent of|of any) (?:how |the |its )?(?:small"
    r"|big|large|long|size|length|tiny|deep)\b(?: it is| is)?"
)


_EITHER = re.compile(
    rf"^(?P<a>(?:an? |any |the |no )?(?:\w+ )?{_DEFECTS})(?P<more>(?:,? (?:or|and|and/or) |, )(?:an? "
    rf"|any )?(?:\w+ )?{_DEFECTS})+(?P<rest>\b.*)$"
)


def alternatives(body: str) -> list[str]:
    """A body about several kinds of defects as one about each.

    >>> alternatives("cracks or chips at the rim"), alternatives("a crack")
    (['cracks at the rim', 'chips at the rim'], ['a crack'])
    """
    match = _EITHER.match(body)
    if match is None:
        return [body]
    kinds = re.split(r",? (?:or|and|and/or) |, ", body[: match.start("rest")])
    return [f"{kind.strip()}{match['rest']}" for kind in kinds if kind.strip()]


def read_region(body: str) -> tuple[RegionCondition, tuple[str, ...]]:
    """(condition, words not understood) of a definition about a defect.

    >>> found, missed = read_region("scratches under 2 mm")
    >>> found.defect, found.how, found.low, found.unit, missed
    ('scratch', 'below', 2.0, 'mm', ())
    """
    body = _ANY_SIZE.sub("", _BEARER.sub("", body))
    match = _DEFECT.search(body)
    assert match is not None
    defect = singular(match["d"])
    left = body[: match.start()] + " " + body[match.end() :]
    values: dict[str, object] = {"defect": "" if match["d"] in _ANY_DEFECT else (match["adj"] + defect).strip()}
    left = _NOT_OUTSIDE.sub(r"between \g<n> and \g<m> \g<u>", left)
    size, between = _SIZE.search(left), _BETWEEN.search(left)
    if between is not None:
        low, high = sorted((float(between["n"]), float(between["m"])))
        values |= {"how": "between", "low": low, "high": high, "unit": unit_of(between["u"])}
        left = left[: between.start()] + " " + left[between.end() :]
    elif size is not None:
        values |= {
            "how": _HOW.get(size["how"], "above"),
            "low": float(size["n"]),
            "high": float(size["n"]),
            "unit": unit_of(size["u"]),
        }
        wide = re.search(r"wide|width|thin|narrow", size[0])
        area = values["unit"] == "%" or str(values["unit"]).endswith("²") or "area" in size["tail"]
        values["measure"] = "area" if area else "width" if wide else "length"
        left = left[: size.start()] + " " + left[size.end() :]
    elif (
        many := re.search(
            r"\b(?P<m>more than|over|at least|fewer than|less than)?\s*(?P<n>\d{1,4})\s*$", body[: match.start()].rstrip() + " "
        )
    ) is not None:
        how = {"more than": "above", "over": "above", "fewer than": "below", "less than": "below"}.get(
            many["m"] or "", "at least"
        )
        values |= {"measure": "count", "how": how, "low": float(many["n"]), "high": float(many["n"])}
        left = left.replace(many[0].strip(), " ")
    for place, words in _PLACES:
        found = re.search(rf"\b{words}\b", left)
        if found is not None:
            values["place"] = place
            left = left[: found.start()] + " " + left[found.end() :]
            break
    return RegionCondition(**values), missed_words(left)  # type: ignore[arg-type]
