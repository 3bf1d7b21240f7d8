"""Tables in text files: encoding, preamble, delimiter, header, units row and decimal sign are found, nothing is asked.

The body is scanned lazily as text by polars; what a column means is decided by `readers.series` or `readers.events`. Data rows
count from 1, the header not counted, blank lines counted.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadInput
from core.settings import limits
from readers.encodings import TRANSCODE_BYTES, read_head, transcoded, zero_bytes
from readers.sniff import no_table
from readers.table_values import collect, engine_source

if TYPE_CHECKING:
    import polars as pl

ROW = "\0row"  # a header cannot hold a zero byte
HEAD_ROWS = 5_000
_HEAD_CELLS = 1_000_000
_DELIMITERS = (",", ";", "\t", "|")
_SPACES = " "
_SAMPLE = 200
_NUMBER = re.compile(r"^\s*[+-]?(\d{1,3}([,.' ]\d{3})+([.,]\d+)?|\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*%?\s*$")
_MISSING = frozenset(
    {"", "na", "n/a", "nan", "null", "none", "-", "--", "?", "#n/a", "missing", "inf", "-inf", "+inf", "infinity", "-infinity"}
)
_TWO_NUMBERS = re.compile(r"^(?!\d{1,3}( \d{3})+$)\d+ +[+-]?\d+$")
_COMMA_CLOCK = re.compile(r"^\d\d:\d\d:\d\d,\d+$")
_DATE_LIKE = re.compile(r"\d{1,4}[-/.:]\d{1,2}[-/.:]\d{1,4}|^\d{9,19}$")


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """A table that has not been read yet: `lazy` has the columns in file order and `ROW` (1-based data row).

    `head` are its first rows; text tables have text columns only, others native types. `units` come from a row of units.
    """

    lazy: pl.LazyFrame
    head: pl.DataFrame
    columns: tuple[str, ...]
    text: bool
    decimal_comma: bool = False
    units: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    size: int = 0
    """Bytes of the file it is still to be read from; 0 when that was done."""


def open_text_table(path: Path, name: str) -> Table:
    r"""Find out how a delimited text file is laid out.

    Raises:
        BadInput: no table can be seen in it, it has no data rows, or too many columns.

    >>> import tempfile; file = Path(tempfile.mkdtemp()) / "a.csv"
    >>> _ = file.write_text("Zeit;Druck [bar]\n01.05.2024 10:00;1,5\n01.05.2024 10:01;1,7\n")
    >>> table = open_text_table(file, "a.csv"); table.columns, table.decimal_comma
    (('Zeit', 'Druck [bar]'), True)
    """
    import polars as pl

    text, encoding, complete = read_head(path, name)
    old_mac = "\r" in text and "\n" not in text
    lines = [line.rstrip("\r") for line in text.split("\r" if old_mac else "\n")]
    if not complete:
        lines = lines[:-1]
    delimiter, width, first, uneven = _layout(lines)
    if width == 0:
        raise no_table(path, name, "the text has neither columns nor time stamps; expected a table or a log.")
    if width > limits().max_series_channels:
        raise BadInput(f"{name}: the table has {width:,} columns, allowed are {limits().max_series_channels:,}.")
    rows = _split(lines[first : first + 400], delimiter)
    header, units, body = _header(rows, width)
    if not header and first and lines[first - 1].startswith("#"):
        above = _split([lines[first - 1].lstrip("# ")], delimiter)[0]
        header = above if len(above) == width and _is_header(above, rows) else []
    if not [r for r in rows[body:] if any(c.strip() for c in r)]:
        raise no_table(path, name, "expected rows of data below the header, got none; export it again or choose another.")
    columns = _column_names(header, width)
    notes = []
    if not header:
        notes.append("The table has no header; columns are called column_1, column_2, …")
    if first:
        notes.append(f"{first} line{'s' * (first > 1)} above the table were passed over.")
    if encoding != "utf-8":
        notes.append(f"The text is encoded as {encoding}.")
    if uneven:
        notes.append(
            f"Rows have unequal lengths ({uneven:,} of the first {len(lines[:_SAMPLE]):,} lines); cells that are not there count as "
            "missing, cells beyond the last column were left out."
        )
    source = engine_source(path)
    zeros = zero_bytes(path, encoding)
    if zeros:
        notes.append(f"{zeros:,} zero byte{'s' * (zeros > 1)} in the text were passed over.")
    if encoding != "utf-8" or delimiter == _SPACES or old_mac or (zeros and path.stat().st_size <= TRANSCODE_BYTES):
        source = transcoded(path, name, encoding, squeeze=delimiter == _SPACES)

    def scan(quote: str | None) -> pl.LazyFrame:
        return pl.scan_csv(
            source, has_header=False, schema=dict.fromkeys(columns, pl.String), infer_schema=False, ignore_errors=True,
            separator="\t" if delimiter == _SPACES else delimiter, skip_lines=first + body, truncate_ragged_lines=True,
            row_index_name=ROW, row_index_offset=1, encoding="utf8-lossy", quote_char=quote, missing_columns="insert",
            extra_columns="ignore", glob=False,
        )  # fmt: skip

    rows_to_see = max(50, min(HEAD_ROWS, _HEAD_CELLS // width))
    lazy = scan('"')
    try:
        head = collect(lazy.head(rows_to_see), name)
    except BadInput:  # a quotation mark that is never closed is an ordinary character
        lazy = scan(None)
        head = collect(lazy.head(rows_to_see), name)
    head = head.drop(ROW).filter(~pl.all_horizontal(pl.all().is_null()))
    comma = delimiter != "," and _decimal_comma(rows[body:])
    if delimiter == ",":
        comma = _quoted_decimal_comma(head)
    if comma:
        notes.append("Numbers are written with a decimal comma.")
    return Table(
        lazy=lazy, head=head, columns=columns, text=True, decimal_comma=comma, units=tuple(units), notes=tuple(notes),
        size=path.stat().st_size,
    )  # fmt: skip


def is_number(cell: str) -> bool:
    """Is the cell a number, written in any usual way?

    >>> is_number("1,5"), is_number("-3e4"), is_number("12 %"), is_number("1,234.5"), is_number("1,2,3")
    (True, True, True, True, False)
    """
    return bool(_NUMBER.match(cell))


def is_missing(cell: str) -> bool:
    """Does the cell stand for no value?

    >>> is_missing(" N/A "), is_missing("0")
    (True, False)
    """
    return cell.strip().lower() in _MISSING


def _split(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Cells of each line."""
    if delimiter == _SPACES:
        return [line.split() for line in lines]
    try:
        return list(csv.reader(lines, delimiter=delimiter))
    except csv.Error:
        return [line.split(delimiter) for line in lines]


def _records(lines: Sequence[str], delimiter: str) -> list[tuple[int, list[str]]]:
    """(index of its first line, cells) of each record; cells in quotation marks may hold line breaks."""
    single = [
        (i, _split([line], delimiter)[0] if line.strip() and not line.startswith("#") else []) for i, line in enumerate(lines)
    ]
    if delimiter == _SPACES or not any('"' in line for line in lines):
        return single
    reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter)
    joined: list[tuple[int, list[str]]] = []
    start = 0
    try:
        for cells in reader:
            joined.append((start, [] if lines[start].startswith("#") else cells))
            start = reader.line_num
    except csv.Error:
        return single
    return max(joined[:-1] or joined, single, key=_regularity)  # the last record may be cut off by the end of the sample


def _regularity(records: Sequence[tuple[int, list[str]]]) -> float:
    """Share of the records that have the most usual number of cells."""
    counts = Counter(len(cells) for _, cells in records if cells)
    return max(counts.values()) / sum(counts.values()) if counts and max(counts) > 1 else 0.0


def _layout(lines: Sequence[str]) -> tuple[str, int, int, int]:
    """(delimiter, columns, index of the table's first line, records of another length); no columns when the lines are no table."""
    sample = list(lines[:_SAMPLE])
    best: tuple[float, str, int, int, int] = (-1.0, ",", 0, 0, 0)
    # blanks inside time stamps are no delimiter
    for delimiter in _DELIMITERS if _is_delimited(sample) else (*_DELIMITERS, _SPACES):
        records = [(i, cells) for i, cells in _records(sample, delimiter) if cells]
        usual = Counter(len(cells) for _, cells in records if len(cells) > 1).most_common(1)
        if not usual:
            continue
        width, times = usual[0]
        named = _named_width(records) if delimiter != _SPACES else 0
        if named > width:  # most rows are short: their last cells are missing
            width, times = named, sum(len(cells) == named for _, cells in records)
        body = [(i, cells) for i, cells in records if len(cells) == width]
        first = body[0][0]
        regular = times / max(1, sum(i >= first for i, _ in records))
        if delimiter == _SPACES:
            numeric = [is_number(c) or bool(_DATE_LIKE.search(c)) for _, cells in body[1:] for c in cells]
            enough = 0.3 if regular == 1.0 and times > 2 else 0.8  # prose also consists of words between blanks
            if not numeric or sum(numeric) < enough * len(numeric):
                continue
            regular *= 0.6
        elif named:
            regular = max(regular, 0.9)
        elif regular < 0.6 or times < 0.5 * len(records):
            continue
        elif regular < 0.9:  # sentences with commas
            values = [_is_value(c) for _, cells in body for c in cells]
            if sum(values) < 0.3 * len(values):
                continue
        share = 1.0 if named else min(1.0, times / len(records) + 0.2)
        score = regular * share + 0.02 * min(width, 20)
        if delimiter == "," and _mostly_decimal([cells for _, cells in body]):
            score -= 0.5  # "1,5;2,5" also splits at every comma
        if score > best[0]:
            best = (score, delimiter, width, first, sum(i > first and len(cells) != width for i, cells in records))
    if best[0] >= 0:
        return best[1:]
    filled = [i for i, line in enumerate(sample) if line.strip() and not line.startswith("#")]
    # a single column: numbers below each other
    numeric = [is_number(sample[i]) or is_missing(sample[i]) for i in filled[1:]]
    return ",", int(bool(filled) and sum(numeric) >= 0.5 * len(numeric)), filled[0] if filled else 0, 0


def _is_delimited(lines: Sequence[str]) -> bool:
    """Does another delimiter than blanks stand in nearly every line, and not only inside numbers such as 1,5?"""
    filled = [line for line in lines if line.strip() and not line.startswith("#")]
    for delimiter in _DELIMITERS:
        having = [line for line in filled if delimiter in line]
        if not filled or len(having) < 0.9 * len(filled):
            continue
        inside = [word for line in having for word in line.split() if delimiter in word]
        if delimiter == "," and sum(is_number(w) or bool(_COMMA_CLOCK.match(w)) for w in inside) > 0.5 * len(inside):
            continue
        cells = [c for row in _split(having, delimiter) for c in row]
        if sum(_is_value(c) for c in cells) >= 0.5 * len(cells):
            return True
    return False


def _named_width(records: Sequence[tuple[int, list[str]]]) -> int:
    """The number of columns that a header of words names, 0 when the first record is none or hardly any row is as long."""
    rows = [cells for _, cells in records if len(cells) > 1]
    head, below = [c.strip() for c in rows[0]], rows[1:]
    if not all(head) or len(set(head)) < len(head) or any(_is_value(c) for c in head):
        return 0
    if sum(len(r) == len(head) for r in below) < max(2, 0.1 * len(below)):
        return 0
    cells = [c for r in below for c in r]
    return len(head) if sum(_is_value(c) for c in cells) >= 0.5 * len(cells) else 0


def _mostly_decimal(rows: Sequence[Sequence[str]]) -> bool:
    """Splitting at commas leaves other delimiters, or blanks between numbers, inside most cells: the comma is a decimal sign."""
    cells = [c for r in rows for c in r]
    return bool(cells) and sum(";" in c or "\t" in c or bool(_TWO_NUMBERS.match(c)) for c in cells) > 0.3 * len(cells)


def _header(rows: Sequence[Sequence[str]], width: int) -> tuple[list[str], list[str], int]:
    """(header cells or [], units or [], number of rows before the data)."""
    first = list(rows[0]) if rows else []
    if not first or not _is_header(first, rows[1:]):
        return [], [], 0
    second = list(rows[1]) if len(rows) > 1 else []
    below = [r for r in rows[2:] if r]
    if second and len(second) == width and below and _is_units_row(second, below):
        return first, [c.strip() for c in second], 2
    return first, [], 1


def _is_header(cells: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Header cells are words above numbers or dates, or words that do not come back in their own column."""
    rows = [r for r in below[:50] if len(r) == len(cells)]
    if not rows:
        return not all(_is_value(c) for c in cells)
    words = [k for k, c in enumerate(cells) if c.strip() and not _is_value(c)]
    if any(sum(_is_value(r[k]) for r in rows) > 0.5 * len(rows) for k in words):
        return True
    if len(words) < len([c for c in cells if c.strip()]):
        return False
    return (
        bool(words) and all(cells[k] not in {r[k] for r in rows} for k in words) and len({cells[k] for k in words}) == len(words)
    )


def _is_value(cell: str) -> bool:
    """A number, a date or a sign for a missing value."""
    return is_number(cell) or is_missing(cell) or bool(_DATE_LIKE.search(cell))


def _is_units_row(second: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """A row of words between the header and columns of numbers holds the units."""
    if any(is_number(c) or _DATE_LIKE.search(c) for c in second) or not any(c.strip() for c in second):
        return False
    columns = range(len(second))
    numeric = [sum(len(r) > k and is_number(r[k]) for r in below[:20]) > 0.5 * len(below[:20]) for k in columns]
    return sum(numeric) >= max(1, len(second) // 2) and all(len(c.strip()) <= 16 for c in second)


def _column_names(header: Sequence[str], width: int) -> tuple[str, ...]:
    """One distinct, printable name per column."""
    names: list[str] = []
    taken: set[str] = set()
    for k in range(width):
        raw = header[k] if k < len(header) else ""
        name = " ".join("".join(c for c in raw if c.isprintable() or c.isspace()).split()).strip("\ufeff\"' #")
        name = name or f"column_{k + 1}"
        while name in taken:
            name = f"{name} ({k + 1})"
        taken.add(name)
        names.append(name)
    return tuple(names)


def _decimal_comma(rows: Sequence[Sequence[str]]) -> bool:
    """Do numbers like 1,5 outnumber numbers like 1.5?"""
    cells = [c.strip() for r in rows for c in r]
    comma = sum(bool(re.fullmatch(r"[+-]?[\d.]*\d,\d+([eE][+-]?\d+)?\s*%?", c)) for c in cells)
    point = sum(bool(re.fullmatch(r"[+-]?\d*\.\d+([eE][+-]?\d+)?\s*%?", c)) for c in cells)
    return comma > point


def _quoted_decimal_comma(head: pl.DataFrame) -> bool:
    """Numbers such as "1,5" in quotation marks between commas; "1,500" is read as a thousand."""
    cells = [c for column in head.iter_columns() for c in column.drop_nulls().head(max(2, 20_000 // head.width))]
    comma = [c for c in cells if re.fullmatch(r"[+-]?\d+,\d+", c.strip())]
    return len(comma) > 0.2 * max(1, len(cells)) and not all(re.fullmatch(r"[+-]?\d{1,3},\d{3}", c.strip()) for c in comma)
