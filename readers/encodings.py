"""Text files: their encoding, what of them is no text, and their lines.

The encoding is found by its mark, by validity as UTF-8, else by statistics. Loggers that were cut off leave zero bytes behind, and
programs that write for a terminal colours and bells: neither says anything about what happened, so both are taken out.
"""

from __future__ import annotations

import codecs
import io
import re
from pathlib import Path

from core.errors import BadInput
from core.settings import limits
from readers.sniff import SNIFFED, few_zeros

_HEAD_BYTES = 1 << 20
TRANSCODE_BYTES = 2**30
_WESTERN = frozenset(
    {"utf_8", "ascii", "cp1250", "cp1252", "cp1257", "latin_1", "iso8859_15", "mac_roman", "mac_latin2", "hp_roman8"}
)
# colours, bells, backspaces; \x1c to \x1f part the fields of audit records
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0e-\x1b\x7f]")


def read_head(path: Path, name: str) -> tuple[str, str, bool]:
    """Return (first text without zero bytes, encoding, complete) of a text file.

    Raises:
        BadInput: more bytes than allowed.
    """
    size = path.stat().st_size
    if size > limits().max_file_bytes:
        raise BadInput(f"{name}: the file has {size:,} bytes, allowed are {limits().max_file_bytes:,}.")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    encoding = _encoding(path, head)
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    return text.lstrip("\ufeff").replace("\0", ""), encoding, size <= _HEAD_BYTES


def zero_bytes(path: Path, encoding: str) -> int:
    """Count the zero bytes that are no part of a letter."""
    if encoding.startswith(("utf-16", "utf-32")):
        return 0
    count = 0
    with path.open("rb") as file:
        while chunk := file.read(_HEAD_BYTES):
            count += chunk.count(0)
    return count


def without_controls(line: str) -> str:
    r"""Return a line without terminal colours and control characters; tabs stay.

    >>> without_controls("\x1b[31mred\x1b[0m \x07 bell\t1")
    'red  bell\t1'
    """
    return _CONTROLS.sub("", line)


def transcoded(path: Path, name: str, encoding: str, *, squeeze: bool) -> bytes:
    """Return the whole text as UTF-8 without zero bytes; runs of blanks become one tab when columns are aligned by blanks.

    Raises:
        BadInput: the file is too large for that.
    """
    if path.stat().st_size > TRANSCODE_BYTES:
        raise BadInput(f"{name}: a text of more than 1 GiB must be UTF-8 with one delimiter; it is {encoding}. Convert it first.")
    text = path.read_bytes().decode(encoding, "replace").lstrip("\ufeff").replace("\0", "")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if squeeze:
        text = "\n".join(re.sub(r"[ \t]+", "\t", line.strip()) for line in text.split("\n"))
    return text.encode("utf-8")


def text_lines(path: Path, encoding: str) -> io.TextIOWrapper:
    """Open a text file line by line in the encoding found by `read_head`; undecodable bytes become the replacement character."""
    return path.open("r", encoding=encoding, errors="replace", newline=None)


def _encoding(path: Path, head: bytes) -> str:
    """The encoding by its mark, by validity as UTF-8, else by statistics."""
    marks = (("utf-8-sig", codecs.BOM_UTF8), ("utf-32", codecs.BOM_UTF32_LE), ("utf-32", codecs.BOM_UTF32_BE))
    for encoding, mark in (*marks, ("utf-16", codecs.BOM_UTF16_LE), ("utf-16", codecs.BOM_UTF16_BE)):
        if head.startswith(mark):
            return encoding
    if b"\0" in head[:SNIFFED] and not few_zeros(head[:SNIFFED]):
        return "utf-16-le" if head[1:2] == b"\0" else "utf-16-be"
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    bad = b""
    with path.open("rb") as file:
        while chunk := file.read(_HEAD_BYTES):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                bad = chunk
                break
    if not bad:
        return "utf-8"
    from charset_normalizer import from_bytes

    best = from_bytes(bad[:200_000], threshold=0.3).best()
    found = best.encoding if best is not None else "cp1252"
    # on the few odd letters of a table's header a guess among one-byte code pages is no better than the most common one
    few = sum(b > 127 for b in bad) < 20 and not found.startswith(("gb", "big5", "shift", "euc", "cp9"))
    return "cp1252" if few or found in _WESTERN else found
