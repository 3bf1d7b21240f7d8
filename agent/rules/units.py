"""Units of what a rule says beside those of the data: equal, convertible, unknown or impossible.

Conversion is pint's where it is installed; without it only equal units (however written) are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from agent.reading.values import same_unit

How: TypeAlias = Literal["same", "converted", "unknown", "different"]
_PINT = {
    "°c": "degC", "°f": "degF", "°k": "kelvin", "k": "kelvin", "°": "degree", "%": "percent", "rpm": "revolution/minute", "a": "ampere",
    "v": "volt", "l/min": "liter/minute", "l/s": "liter/second", "m3/h": "meter**3/hour", "m/s2": "meter/second**2", "lpm": "liter/minute",
    "gpm": "gallon/minute", "ma": "milliampere", "mv": "millivolt", "kv": "kilovolt", "w": "watt", "kw": "kilowatt", "mw": "megawatt",
    "pa": "pascal", "kpa": "kilopascal", "mpa": "megapascal", "hpa": "hectopascal", "hz": "hertz", "khz": "kilohertz", "g": "g_0",
    "kwh": "kilowatt_hour", "nm": "newton*meter", "mbar": "millibar", "km/h": "kilometer/hour",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A value in the data's unit, and how it got there; `note` says so where it matters ("" where nothing need be said)."""

    value: float
    how: How
    note: str = ""


def in_unit(value: float, said: str, unit: str, *, difference: bool = False, of: str = "the data") -> Compared:
    """`value` as said in the unit `said`, in the data's `unit`; a `difference` of temperatures has no zero point.

    >>> in_unit(7.0, "bars", "[bar]").how, in_unit(7.0, "bar", "").how, in_unit(7.0, "", "bar").how
    ('same', 'unknown', 'same')
    >>> in_unit(7.0, "bar", "°C").how
    'different'
    """
    typed, given = same_unit(said), same_unit(unit)
    if not typed or typed == given:
        return Compared(value=value, how="same")
    if typed == "°" and given in ("°c", "°f", "°k"):
        return Compared(value=value, how="same")
    if not given:
        return Compared(
            value=value,
            how="unknown",
            note=f"The file gives no unit for {of}; {value:g} {said} was compared with its plain numbers.",
        )
    converted = _converted(value, typed, given, difference)
    if converted is None:
        return Compared(value=value, how="different", note=f"The rule is in {said}, {of} is in {unit}.")
    return Compared(value=converted, how="converted", note=f"{value:g} {said} is {converted:.6g} {unit}.")


def can_convert() -> bool:
    """True where pint is installed."""
    return _registry() is not None


@lru_cache(maxsize=1)
def _registry() -> Any:
    try:
        import pint
    except ImportError:
        return None
    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True)


def _converted(value: float, typed: str, given: str, difference: bool) -> float | None:
    registry = _registry()
    if registry is None:
        return None
    turns = {"hz": "revolution/second"} if "rpm" in (typed, given) else {}  # pint counts 1 Hz as 1 radian a second
    try:
        a, b = (registry.Unit(turns.get(unit, _PINT.get(unit, unit))) for unit in (typed, given))
        if difference and {typed, given} <= {"°c", "°f", "°k", "k"}:
            a, b = (registry.Unit("delta_" + str(_PINT[u])) if u in ("°c", "°f") else registry.kelvin for u in (typed, given))
        return float(registry.Quantity(value, a).to(b).magnitude)
    except Exception:  # pint raises many kinds for text that is no unit; all mean: not convertible
        return None
