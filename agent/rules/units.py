"""Units of what a rule says beside those of the data: equal, convertible, unknown or impossible.

A unit is a quantity, a factor and a zero point (SI Brochure, 9th edition; NIST SP 811 for psi, inch and gallon); units of different
quantities are never compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from agent.reading.values import same_unit

How: TypeAlias = Literal["same", "converted", "unknown", "different"]
_INCH, _GALLON, _G = 0.0254, 3.785411784e-3, 9.80665
_UNITS: dict[str, dict[str, float]] = {
    # quantity -> unit (as `same_unit` writes it) -> how many of the quantity's first unit it is
    "pressure": {"pa": 1.0, "hpa": 100.0, "kpa": 1e3, "mpa": 1e6, "mbar": 100.0, "bar": 1e5, "psi": 6894.757293168, "atm": 101_325.0},
    "length": {"m": 1.0, "cm": 0.01, "mm": 1e-3, "µm": 1e-6, "um": 1e-6, "km": 1e3, "inch": _INCH, "in": _INCH, "ft": 12 * _INCH},
    "speed": {"m/s": 1.0, "mm/s": 1e-3, "cm/s": 0.01, "m/min": 1 / 60, "km/h": 1 / 3.6, "inch/s": _INCH, "in/s": _INCH},
    "acceleration": {"m/s2": 1.0, "mm/s2": 1e-3, "g": _G},
    "rotation": {"hz": 1.0, "khz": 1e3, "rpm": 1 / 60, "1/min": 1 / 60, "1/s": 1.0},
    "flow": {
        "m3/s": 1.0, "m3/h": 1 / 3600, "m3/min": 1 / 60, "l/s": 1e-3, "l/min": 1e-3 / 60, "lpm": 1e-3 / 60, "l/h": 1e-3 / 3600,
        "gpm": _GALLON / 60,
    },
    "volume": {"m3": 1.0, "l": 1e-3, "ml": 1e-6},
    "mass": {"kg": 1.0, "mg": 1e-6, "t": 1e3},
    "current": {"a": 1.0, "ma": 1e-3},
    "voltage": {"v": 1.0, "mv": 1e-3, "kv": 1e3},
    "power": {"w": 1.0, "kw": 1e3},
    "energy": {"j": 1.0, "kj": 1e3, "wh": 3600.0, "kwh": 3.6e6},
    "force": {"n": 1.0, "kn": 1e3},
    "torque": {"nm": 1.0, "knm": 1e3},
    "time": {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0},
    "share": {"%": 0.01, "1": 1.0},
}  # fmt: skip
_KELVIN: dict[str, tuple[float, float]] = {
    "k": (1.0, 0.0), "°k": (1.0, 0.0), "°c": (1.0, 273.15), "°f": (5 / 9, 459.67 * 5 / 9),
}  # fmt: skip
"""Temperature: size of a degree in kelvin, and where its zero lies."""


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
    >>> in_unit(7.0, "bar", "°C").how, in_unit(200.0, "kPa", "bar").value, in_unit(9.0, "°F", "°C", difference=True).value
    ('different', 2.0, 5.0)
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


def _converted(value: float, typed: str, given: str, difference: bool) -> float | None:
    if typed in _KELVIN and given in _KELVIN:
        (size, zero), (other, its_zero) = _KELVIN[typed], _KELVIN[given]
        return _rounded(value * size / other if difference else (value * size + zero - its_zero) / other)
    for units in _UNITS.values():
        if typed in units and given in units:
            return _rounded(value * units[typed] / units[given])
    return None


def _rounded(value: float) -> float:
    """Without the last bits that a factor leaves: 200 kPa are 2 bar."""
    return float(f"{value:.12g}")
