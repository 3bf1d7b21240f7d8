"""Which column of a table, or which two or three of them together, hold the time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from readers.timestamps import ParsedTimes, parse_times, without_year

if TYPE_CHECKING:
    import polars as pl

_NAMED = re.compile(
    r"^(time_?stamps?|times?|date_?times?|dates?|ts|t|epoch(_?(s|ms|us|ns))?|unix(_?time)?|utc(_?time)?|gmt|datum|zeit(stempel|punkt)?|"
    r"uhrzeit|fecha|hora|heure|horodate|created(_?at)?|event_?time|time_?(created|generated|local|utc|sec|s|ms|us|ns|min|h)|timecreated|"
    r"system_?time|recorded_?at|logged_?at|received_?at|start_?time|date_?and_?time|elapsed(_?time)?(_?(s|ms|us|ns))?|"
    r"seconds?|sec|secs|ms|millis|milliseconds?|minutes?|hours?|clock|when|timegenerated|eventreceivedtime|x_?time)$"
)
_DATE_TEXT = r"^(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}[ -]\w{3}[ -]\d{2,4})$"
_CLOCK_TEXT = r"^\d{1,2}:\d\d(:\d\d([.,]\d+)?)?(\s*[AaPp]\.?[Mm]\.?)?$"
_TIME_TEXT = r"^\[?\w{0,4},? ?\d{1,4}[-/. ]?\w{1,3}[-/. ]?\d{1,4}([ T_:-]|$)|^\w{3} \w{3} +\d{1,2} \d\d:\d\d"
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_UNNAMED = 40  # so many columns without a telling name are looked into


def time_columns(head: pl.DataFrame) -> tuple[str, ...]:
    """Return the column that holds the time, or those that hold its parts, or () when there is none.

    Args:
        head: the first rows of the table, text or native types.

    Returns:
        One column; (date, time of day); or (month name, day, time of day).

    >>> import polars as pl
    >>> time_columns(pl.DataFrame({"id": ["a", "b"], "when": ["2024-05-01 10:00", "2024-05-01 10:05"], "x": ["1", "2"]}))
    ('when',)
    >>> time_columns(pl.DataFrame({"Date": ["01.05.2024", "02.05.2024"], "Time": ["10:00:00", "09:00:00"], "x": ["1", "2"]}))
    ('Date', 'Time')
    """
    named = [c for c in head.columns if _is_named(c)]
    parts = {c: _part(head[c]) for c in named}
    dates = [c for c in named if parts[c] == "date"]
    clocks = [c for c in named if parts[c] == "clock"]
    if clocks and not dates and (pair := _month_and_day(head)):
        return (*pair, clocks[0])
    parsed: dict[str, ParsedTimes] = {}
    for column in named:
        if parts[column] == "clock":
            continue
        found = parse_times(head[column], column)
        if found is not None and _plausible(found, head[column], named=True):
            parsed[column] = found
    whole = [c for c in parsed if parsed[c].base == "clock" and c not in dates]
    if whole:
        return (max(whole, key=lambda c: (_resolution(parsed[c]), -head.columns.index(c))),)
    if dates and clocks:
        return dates[0], clocks[0]
    if parsed:
        return (min(parsed, key=lambda c: (parsed[c].base != "clock", head.columns.index(c))),)
    if clocks:
        return (clocks[0],)
    for column in [c for c in head.columns if c not in named][:_UNNAMED]:
        if _may_be_time(head, column):
            found = parse_times(head[column], column)
            if found is not None and found.base == "clock" and _plausible(found, head[column], named=False):
                return (column,)
    return ()


def read_times(frame: pl.DataFrame, columns: tuple[str, ...]) -> ParsedTimes | None:
    """Parse the columns chosen by `time_columns`; None when they hold no times after all."""
    import polars as pl

    if len(columns) == 1:
        return parse_times(frame[columns[0]], columns[0])
    if len(columns) == 3:
        month, day, clock = (frame[c].cast(pl.String).str.strip_chars() for c in columns)
        joined = pl.select(pl.concat_str([month.str.slice(0, 3), day.str.zfill(2), clock], separator=" ")).to_series()
        return without_year(joined.to_list())
    joined = pl.select(pl.concat_str([_compact(frame[c]) for c in columns], separator=" ")).to_series()
    return parse_times(joined, " + ".join(columns))


def unreadable_times(head: pl.DataFrame, columns: Sequence[str]) -> tuple[str, ...]:
    """Those of the text columns that are called and written like times, although `time_columns` could not read them.

    >>> import polars as pl
    >>> unreadable_times(pl.DataFrame({"time": ["9999-12-31 10:00"], "note": ["9999-12-31 10:00"]}), ["time", "note"])
    ('time',)
    """
    import polars as pl

    found = []
    for column in columns:
        if _is_named(column) and head.schema[column] == pl.String:
            cells = head[column].drop_nulls().str.strip_chars().head(200)
            if len(cells) and max(_share(cells, _TIME_TEXT), _share(cells, _DATE_TEXT)) >= 0.95:
                found.append(column)
    return tuple(found)


def _is_named(header: str) -> bool:
    """Does the header alone promise a time?"""
    plain = re.sub(r"\s*[\[(].*?[\])]\s*$", "", header.strip().lower()).lstrip("@")
    return bool(_NAMED.match(re.sub(r"[\s\-.:/]+", "_", plain)))


def _part(column: pl.Series) -> Literal["date", "clock", ""]:
    """Is this only a date, only a time of day, or neither?"""
    import polars as pl

    if column.dtype == pl.Date:
        return "date"
    if column.dtype == pl.Time:
        return "clock"
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum) and not column.dtype.is_integer():
        return ""
    cells = column.cast(pl.String).drop_nulls().str.strip_chars().head(200)
    cells = cells.filter(cells.str.len_bytes() > 0)
    if cells.is_empty():
        return ""
    name = column.name.strip().lower()
    if name == "time" and _share(cells, r"^\d{5,6}$") > 0.8 and _share(cells, r"^\d{0,2}[0-5]?\d[0-5]\d$") == 1:
        return "clock"  # 203615 for 20:36:15
    if name == "date" and _share(cells, r"^(\d{1,2})(0[1-9]|1[0-2])([0-2]\d|3[01])$") == 1:
        return "date"  # 81109 for 2008-11-09
    if _share(cells, _CLOCK_TEXT) >= 0.95:
        return "clock"
    return "date" if _share(cells, _DATE_TEXT) >= 0.95 else ""


def _month_and_day(head: pl.DataFrame) -> tuple[str, str] | None:
    """A column of month names and one of days of the month, as syslog tables have them."""
    import polars as pl

    plain = {c.strip().lower(): c for c in head.columns}
    for month in ("month", "date"):
        for day in ("day", "date"):
            if month == day or month not in plain or day not in plain:
                continue
            names = head[plain[month]].cast(pl.String).drop_nulls().str.to_lowercase().str.slice(0, 3)
            days = head[plain[day]].cast(pl.Float64, strict=False).drop_nulls()
            if len(names) and names.is_in(_MONTHS).all() and len(days) and bool(days.is_between(1, 31).all()):
                return plain[month], plain[day]
    return None


def _compact(column: pl.Series) -> pl.Series:
    """Text of a date or time part; compact numbers such as 81109 get their leading zero back."""
    import polars as pl

    if column.dtype == pl.Time:
        return column.dt.to_string("%H:%M:%S%.f")
    if column.dtype in (pl.Date, pl.Datetime):
        return column.dt.to_string("%Y-%m-%d")
    text = column.cast(pl.String).str.strip_chars()
    # times such as 15 (00:00:15) may be short, dates have at least five digits
    return pl.select(pl.when(text.str.contains(r"^\d{1,6}$")).then(text.str.zfill(6)).otherwise(text)).to_series()


def _resolution(times: ParsedTimes) -> int:
    """How many different times there are: between two time columns the finer one is meant."""
    return len(np.unique(times.seconds[np.isfinite(times.seconds)]))


def _plausible(times: ParsedTimes, column: pl.Series, *, named: bool) -> bool:
    """Elapsed times must run forward; without a telling header only written dates and running epochs count."""
    good = times.seconds[np.isfinite(times.seconds)]
    if not good.size or len(good) < 0.5 * max(1, len(times.seconds) - column.null_count()):
        return False
    backwards = float((np.diff(good) < 0).mean()) if len(good) > 1 else 0.0
    if times.base == "elapsed":
        return backwards <= 0.02 and (len(good) < 2 or bool(good[-1] > good[0]))
    return named or not column.dtype.is_numeric() or backwards <= 0.02


def _may_be_time(head: pl.DataFrame, column: str) -> bool:
    """Columns without a telling header: any native or written date, or a running number in the first column."""
    import polars as pl

    series = head[column]
    if series.dtype in (pl.Datetime, pl.Date):
        return True
    first = head.columns.index(column) == 0
    if series.dtype in (pl.String, pl.Categorical, pl.Enum):
        cells = series.cast(pl.String).drop_nulls().head(100).str.strip_chars()
        if cells.is_empty():
            return False
        if _share(cells, r"^[\d.,+-]*$") > 0.5 and _share(cells, _DATE_TEXT) < 0.95:
            return first
        return _share(cells, _TIME_TEXT) >= 0.95
    return series.dtype.is_numeric() and first


def _share(cells: pl.Series, pattern: str) -> float:
    """Share of the cells that match."""
    return float(cells.str.contains(pattern).sum()) / max(1, len(cells))
