"""Times: what the values of a column mean, in seconds.

Understood: ISO 8601 and some forty written date formats, clock times without a date, seconds/milli/micro/nanoseconds since 1970,
elapsed time in a unit named by the header, dates and times in columns of their own. Times without a zone are taken as UTC, times
with one are converted to it. Day and month are told apart by values above 12, else by the order that keeps time running forward.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

SAMPLE = 5_000
_UNIT_S = {
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "millis": 1e-3, "milliseconds": 1e-3,
    "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "microseconds": 1e-6, "ns": 1e-9, "nanoseconds": 1e-9, "min": 60.0, "mins": 60.0,
    "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hr": 3600.0, "hrs": 3600.0, "hour": 3600.0, "hours": 3600.0, "d": 86400.0,
    "day": 86400.0, "days": 86400.0,
}  # fmt: skip
_DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%y", "%d/%m/%y",
    "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d/%b/%Y", "%b %d, %Y", "%b %d %Y", "%d %B %Y", "%B %d, %Y",
    "%Y%m%d", "%y%m%d",
)  # fmt: skip
_TIMES = ("%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%H:%M:%S:%3f", "%H.%M.%S%.f", "%H%M%S")
_WHOLE = ("%a %b %d %H:%M:%S%.f %Y", "%a, %d %b %Y %H:%M:%S", "%d/%b/%Y:%H:%M:%S", "%Y-%m-%d-%H.%M.%S%.f", "%a %d %b %Y %H:%M:%S")
_ZONES_H = {
    "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "WET": 0, "WEST": 1, "BST": 1, "CET": 1,
    "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "IST": 5.5, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11,
}  # fmt: skip
_EARLIEST, _LATEST = 0.0, 4_102_444_800.0  # 1970 … 2100
_EPOCH_RANGE = (3.1e8, 4.1e9)  # 1979 … 2099: a plain number in here is read as seconds since 1970


@dataclass(frozen=True, kw_only=True, eq=False)
class ParsedTimes:
    """Seconds (T,) float64, NaN where unreadable: since 1970 UTC for "clock", from an unknown start for "elapsed"."""

    seconds: NDArray[np.float64]
    base: Literal["clock", "elapsed"]
    note: str = ""


def parse_times(column: pl.Series, header: str) -> ParsedTimes | None:
    """Parse one column of times.

    Args:
        column: text, numbers or native date-times.
        header: its name; a unit in it ("t [ms]", "elapsed_s") counts.

    Returns:
        The times, or None when fewer than 95 % of the first values can be read.

    >>> import polars as pl
    >>> t = parse_times(pl.Series(["2024-05-01T10:00:00+02:00", "2024-05-01T10:00:01+02:00"]), "time"); t.base, float(t.seconds[0])
    ('clock', 1714550400.0)
    >>> parse_times(pl.Series([0, 250, 500]), "t [ms]").seconds.tolist()
    [0.0, 0.25, 0.5]
    """
    import polars as pl

    kind = column.dtype
    if kind in (pl.Datetime, pl.Date):
        micros = column.cast(pl.Datetime("us")) if kind == pl.Date else column.dt.cast_time_unit("us")
        seconds = micros.to_physical().cast(pl.Float64).to_numpy() / 1e6
        zoned = kind == pl.Datetime and getattr(kind, "time_zone", None) is not None
        return ParsedTimes(seconds=seconds, base="clock", note="" if zoned else NAIVE)
    if kind == pl.Duration:
        return ParsedTimes(seconds=column.dt.total_microseconds().cast(pl.Float64).to_numpy() / 1e6, base="elapsed")
    if kind == pl.Time:
        nanos = column.to_physical().cast(pl.Float64).to_numpy()
        return ParsedTimes(seconds=_over_midnight(nanos / 1e9), base="elapsed", note=_NO_DATE)
    if kind.is_numeric():
        return _numbers(column.cast(pl.Float64).to_numpy(), header)
    if kind in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype != pl.String:
        return None
    text = column.str.strip_chars()
    text = text.set(text.str.len_bytes() == 0, None) if text.len() else text
    present = text.drop_nulls()
    if present.is_empty():
        return None
    head = present.head(500)
    plain = head.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    if plain.null_count() <= 0.05 * len(head):
        return _numbers(text.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False).to_numpy(), header)
    return _written(text, head)


def without_year(texts: Sequence[str | None], *, now: datetime | None = None) -> ParsedTimes:
    """Parse stamps such as "Dec 10 06:55:46", which carry no year: the last one is put into the most recent year that fits.

    A step from December to January begins a new year.

    Args:
        texts: the stamps in the order of the log.
        now: what "most recent" refers to; the present by default.

    >>> times = without_year(["Dec 31 23:59:58", "Jan  1 00:00:03"], now=datetime(2024, 6, 1, tzinfo=UTC))
    >>> datetime.fromtimestamp(times.seconds[0], UTC).year, float(np.diff(times.seconds)[0])
    (2023, 5.0)
    """
    now = now or datetime.now(UTC)
    stamps: list[tuple[int, int, int, float] | None] = []
    turns, last_month = 0, 0
    for text in texts:
        match = _YEARLESS.match(text or "")
        month = _MONTHS.get(match[1].lower(), 0) if match else 0
        if not match or not month:
            stamps.append(None)
            continue
        turns += last_month - month >= 6
        last_month = month
        within = int(match[3]) * 3600 + int(match[4]) * 60 + float(match[5])
        stamps.append((turns, month, int(match[2]), within))
    known = [s for s in stamps if s is not None]
    if not known:
        return ParsedTimes(seconds=np.full(len(texts), np.nan), base="elapsed")
    newest = now.year if (known[-1][1], known[-1][2]) <= (now.month, now.day) else now.year - 1
    days: dict[tuple[int, int, int], float] = {}
    for turn, month, day, _ in known:
        if (turn, month, day) not in days:
            days[turn, month, day] = _day_start(newest - known[-1][0] + turn, month, day)
    seconds = np.array([np.nan if s is None else days[s[:3]] + s[3] for s in stamps], dtype=np.float64)
    note = f"The times carry no year; {newest} was assumed for the last one. {NAIVE}"
    return ParsedTimes(seconds=seconds, base="clock", note=note)


def _day_start(year: int, month: int, day: int) -> float:
    """Seconds since 1970 of a day; 29 February counts as 1 March where there is none, other impossible days are unreadable."""
    try:
        return datetime(year, month, day, tzinfo=UTC).timestamp()
    except ValueError:
        return datetime(year, 3, 1, tzinfo=UTC).timestamp() if (month, day) == (2, 29) else float("nan")


_YEARLESS = re.compile(r"^([A-Za-z]{3}) +(\d{1,2}) (\d\d):(\d\d):(\d\d(?:[.]\d+)?)")
_MONTHS = {m: i for i, m in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)}
NAIVE = "Times carry no zone and are taken as UTC."
_NO_DATE = "Clock times without a date: counted from the first one."


def _unit(header: str) -> float | None:
    """Seconds per unit named in the header, None when none is."""
    text = header.strip().lower()
    bracket = re.search(r"[\[(]\s*([a-zµμ]+)\s*[\])]\s*$", text)
    if bracket:
        return _UNIT_S.get(bracket.group(1))
    words = re.split(r"[\s_\-]+", text)
    if len(words) > 1 and words[-1] in _UNIT_S:
        return _UNIT_S[words[-1]]
    return _UNIT_S.get(text) if len(text) > 1 else None


def _numbers(values: NDArray[np.float64], header: str) -> ParsedTimes | None:
    """Seconds since 1970 in s/ms/us/ns by magnitude, else elapsed time in the header's unit (seconds when it names none)."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    middle = float(np.median(finite))
    for scale in (1.0, 1e3, 1e6, 1e9):
        if _EPOCH_RANGE[0] * scale <= middle <= _EPOCH_RANGE[1] * scale and finite.min() > 0:
            return ParsedTimes(seconds=values / scale, base="clock")
    unit = _unit(header)
    return ParsedTimes(seconds=values * (unit or 1.0), base="elapsed")


def _written(text: pl.Series, head: pl.Series) -> ParsedTimes | None:
    """Find the format by the first values, then apply it to all."""
    cleaned_head, zone = _clean(head)
    matches = [f for f in _formats(zone) if _fits(cleaned_head, f)]
    if not matches:
        clock = _clock_only(text, head)
        return clock if clock is not None else _by_dateutil(text, head)
    cleaned, _ = _clean(text)
    chosen = matches[0]
    note = ""
    rivals = [f for f in matches if _day_month_swapped(chosen) == f]
    if rivals:
        first, second = _apply(cleaned.head(SAMPLE), chosen), _apply(cleaned.head(SAMPLE), rivals[0])
        if (_disorder(second), "%p" not in chosen) < (_disorder(first), "%p" in chosen):  # AM and PM are American
            chosen = rivals[0]
        order = "day first" if chosen.index("%d") < chosen.index("%m") else "month first"
        note = f" Dates such as {head[0]} were read {order}."
    seconds = _apply(cleaned, chosen)
    if "%z" not in chosen and zone is None:
        note = NAIVE + note
    return ParsedTimes(seconds=seconds, base="clock", note=note.strip())


def _clean(text: pl.Series) -> tuple[pl.Series, str | None]:
    """Bring variants of writing together; tell whether a zone is written ("utc", "offset" or None)."""
    text = text.str.replace(r"^(\d{4}-?\d\d-?\d\d)[T_](\d)", "$1 $2").str.replace(r"(\d\d:\d\d:\d\d),(\d+)", "$1.$2")
    sample = text.drop_nulls().head(50)
    if sample.str.contains(r"\d\s*(Z|UTC|GMT)$").all():
        return text.str.replace(r"\s*(Z|UTC|GMT)$", ""), "utc"
    if sample.str.contains(r"\d\s*[+-]\d\d:?\d\d$").all() and sample.str.contains(r":\d\d").all():
        return text.str.replace(r"\s*([+-]\d\d):?(\d\d)$", " $1$2"), "offset"
    return text, None


def _formats(zone: str | None) -> list[str]:
    """All formats that may apply, the usual ones first."""
    both = [f"{d} {t}" for t in _TIMES for d in _DATES]
    formats = [*both, *_WHOLE, *(f"{t} {d}" for t in _TIMES[:2] for d in _DATES[:8])]
    if zone == "offset":
        return [f"{f} %z" for f in formats]
    return [*formats, *_DATES[:-1]]


def _fits(head: pl.Series, pattern: str) -> bool:
    """At least 95 % of the first values follow the format and lie between 1970 and 2100."""
    shape = _shape(pattern)
    probe = head.head(20)
    if sum(bool(shape.fullmatch(value)) for value in probe) < 0.9 * len(probe):
        return False
    return bool(np.isfinite(_apply(head, pattern)).mean() >= 0.95)


@cache
def _shape(pattern: str) -> re.Pattern[str]:
    """A regular expression for a format: far quicker than parsing, and strict about the length of years."""
    text = re.escape(pattern.replace("%.f", "\0").replace("%3f", "\1")).replace("\\ ", r"\s+")
    digits = {
        "%Y": r"\d{4}",
        "%a": "[A-Za-z]{3}",
        "%b": "[A-Za-z]{3}",
        "%B": "[A-Za-z]{3,9}",
        "%p": "[AaPp][Mm]",
        "%z": r"[+-]\d{4}",
    }
    compact = not re.search(r"%Y\W|%y\W", pattern)
    for code in ("m", "d", "H", "I", "M", "S", "y"):
        exact = code in "yMS" or (compact and code in "mdH") or ("%H%M%S" in pattern and code == "H")
        digits[f"%{code}"] = r"\d{2}" if exact else r"\d{1,2}"
    for code, expression in digits.items():
        text = text.replace(code, expression)
    return re.compile(text.replace("\0", r"(\.\d+)?").replace("\1", r"\d{3}"))


def _apply(text: pl.Series, pattern: str) -> NDArray[np.float64]:
    """Seconds since 1970, NaN where the format does not fit."""
    import polars as pl

    if not re.search(r"%[HI]", pattern):
        stamps = text.str.to_date(pattern, strict=False).cast(pl.Datetime("us"))
    else:
        stamps = text.str.to_datetime(pattern, strict=False, time_unit="us", ambiguous="earliest")
    seconds = stamps.to_physical().cast(pl.Float64).to_numpy() / 1e6
    return np.where((seconds >= _EARLIEST) & (seconds <= _LATEST), seconds, np.nan)


def _day_month_swapped(pattern: str) -> str:
    """The same format with day and month exchanged, for numeric months only."""
    if "%d" not in pattern or "%m" not in pattern or pattern.startswith(("%Y", "%y")):
        return ""
    return pattern.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")


def _disorder(seconds: NDArray[np.float64]) -> tuple[float, float]:
    """(steps backwards and unreadable values, spread): smaller is the likelier reading."""
    good = seconds[np.isfinite(seconds)]
    if not good.size:
        return float(len(seconds)), np.inf
    return float((np.diff(good) < 0).sum() + len(seconds) - len(good)), float(np.ptp(good))


def _clock_only(text: pl.Series, head: pl.Series) -> ParsedTimes | None:
    """Times of day without a date, or durations like 00:12:03.5."""
    import polars as pl

    pattern = r"^(\d{1,3}):(\d\d)(?::(\d\d(?:[.,]\d+)?))?$"
    if not head.str.contains(pattern).sum() >= 0.95 * len(head):
        return None
    parts = [text.str.extract(pattern, k).str.replace(",", ".", literal=True).cast(pl.Float64, strict=False) for k in (1, 2, 3)]
    seconds = parts[0] * 3600 + parts[1] * 60 + parts[2].fill_null(0.0)
    return ParsedTimes(seconds=_over_midnight(seconds.to_numpy()), base="elapsed", note=_NO_DATE)


def _over_midnight(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add a day whenever the clock jumps back by more than half a day."""
    filled = np.where(np.isfinite(seconds), seconds, 0.0)
    back = np.concatenate([[0.0], np.diff(filled) < -43_200]) if len(filled) else filled
    return seconds + 86_400.0 * np.cumsum(back)


def _by_dateutil(text: pl.Series, head: pl.Series) -> ParsedTimes | None:
    """The long tail of formats, by dateutil, when the distinct values are few enough for its speed."""
    from dateutil import parser

    if head.str.contains(r"\d{1,4}\D+\d").sum() < 0.95 * len(head) or text.n_unique() > 200_000:
        return None
    default = datetime(2000, 1, 1)

    naive = False

    def zone(name: str | None, offset: int | None) -> timezone | None:
        if name is None and offset is None:
            return None
        return timezone(timedelta(seconds=offset if offset is not None else 3600 * _ZONES_H.get(name or "", 0.0)))

    def one(value: str) -> float:
        nonlocal naive
        try:
            stamp = parser.parse(value, default=default, tzinfos=zone)
            naive = naive or stamp.tzinfo is None
            seconds = (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError, TypeError):
            return float("nan")
        return seconds if _EARLIEST <= seconds <= _LATEST and len(value) >= 8 else float("nan")

    if np.isfinite([one(v) for v in head.head(100)]).mean() < 0.95:
        return None
    known = {value: one(value) for value in text.drop_nulls().unique()}
    seconds = np.array([known.get(v, float("nan")) if v is not None else float("nan") for v in text], dtype=np.float64)
    return ParsedTimes(seconds=seconds, base="clock", note=NAIVE if naive else "")
