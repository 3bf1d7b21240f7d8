"""What a file is, read from its first bytes; the extension is only compared with that, never trusted.

Source of the signatures: the formats' specifications as collected in the `file` utility's magic database.
"""

from __future__ import annotations

import re
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from core.errors import BadInput
from core.samples import Kind

Form: TypeAlias = Literal[
    "png", "jpeg", "gif", "bmp", "webp", "tiff", "avif",
    "mov", "avi", "matroska", "flv", "mpegts", "mpeg", "asf", "ogg", "yuv4mpegpipe", "any video",
    "parquet", "arrow", "npz", "npy", "text", "ply", "pcd",
]  # fmt: skip

PICTURES: frozenset[str] = frozenset({"png", "jpeg", "gif", "bmp", "webp", "tiff", "avif"})
VIDEOS: frozenset[str] = frozenset({"mov", "avi", "matroska", "flv", "mpegts", "mpeg", "asf", "ogg", "yuv4mpegpipe", "any video"})
TABLES: frozenset[str] = frozenset({"parquet", "arrow", "text"})
ARRAYS: frozenset[str] = frozenset({"npz", "npy"})
CLOUDS: frozenset[str] = frozenset({"ply", "pcd"})

_EXTENSIONS: dict[str, frozenset[str]] = {
    "png": frozenset({"png", "apng"}),
    "jpeg": frozenset({"jpg", "jpeg", "jpe", "jfif", "mpo"}),
    "gif": frozenset({"gif"}),
    "bmp": frozenset({"bmp", "dib"}),
    "webp": frozenset({"webp"}),
    "tiff": frozenset({"tif", "tiff", "btf"}),
    "avif": frozenset({"avif"}),
    "mov": frozenset({"mp4", "mov", "m4v", "3gp", "3g2", "qt", "mj2", "f4v"}),
    "avi": frozenset({"avi", "divx"}),
    "matroska": frozenset({"mkv", "webm", "mk3d"}),
    "flv": frozenset({"flv"}),
    "mpegts": frozenset({"ts", "mts", "m2ts", "tp"}),
    "mpeg": frozenset({"mpg", "mpeg", "vob", "m1v", "m2v", "dat"}),
    "asf": frozenset({"wmv", "asf"}),
    "ogg": frozenset({"ogv", "ogg", "ogm"}),
    "yuv4mpegpipe": frozenset({"y4m"}),
    "parquet": frozenset({"parquet", "pq"}),
    "arrow": frozenset({"arrow", "feather", "ipc"}),
    "npz": frozenset({"npz"}),
    "npy": frozenset({"npy"}),
    "ply": frozenset({"ply"}),
    "pcd": frozenset({"pcd"}),
}
_RAW_VIDEO = frozenset(
    {"h264", "264", "avc", "h265", "265", "hevc", "ivf", "dv", "mjpg", "mjpeg", "rm", "wtv", "nut", "mxf", "ivr", "vc1", "obu"}
)
_TEXT = frozenset({"csv", "tsv", "txt", "log", "json", "jsonl", "ndjson", "tab", "asc"})
_PROMISES = frozenset().union(*_EXTENSIONS.values()) | _RAW_VIDEO | _TEXT

_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document; save its pictures or tables as files of their own"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"BZh", "a bzip2 archive; unpack it first"),
    (b"\xfd7zXZ\x00", "an xz archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive; unpack it first"),
    (b"\x89HDF\r\n", "an HDF5 file; export the data as parquet, npz or CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Office document; save the sheet as CSV"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a Linux program"),
    (b"SQLite format 3", "an SQLite database; export the table as CSV or parquet"),
    (b"ElfFile\x00", "a Windows event log (evtx); export it as JSON lines"),
    (b"fLaC", "a sound file; only video, pictures, 3D scans, sensor series and event logs can be read"),
    (b"ID3", "a sound file; only video, pictures, 3D scans, sensor series and event logs can be read"),
    (b"\x80\x04\x95", "a Python pickle, which is never opened because it can run code; export npz, parquet or CSV"),
    (b"MATLAB 5.0", "a MATLAB file; export the data as npz, parquet or CSV"),
)
_HEIF = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_HEIF_EXTENSIONS = frozenset({"heic", "heif", "hif"})
_REFUSED_TEXT: tuple[tuple[str, str], ...] = (
    (
        r"<!doctype html|<html|<head|<body",
        "a web page (HTML); save the table in it as CSV, or its pictures as files of their own",
    ),
    (r"<svg|<\?xml[^>]*>\s*(<!--.*?-->\s*|<!doctype[^>]*>\s*)*<svg", "a drawing (SVG); export it as PNG"),
    (r"<\?xml", "an XML document; export the data as CSV, parquet or JSON lines"),
    (r"#extm3u|ffconcat version", "a play list, which only names other files; drop the video itself"),
)
SNIFFED = 4096
_FEW = 0.001


@dataclass(frozen=True, kw_only=True)
class Sniffed:
    """What the first bytes say: the form, the kind if the form alone decides it (None: a table or an array), a note."""

    form: Form
    kind: Kind | None
    note: str = ""


def sniff(path: Path, name: str) -> Sniffed:
    """Tell the form of the file at `path`, shown to people as `name`.

    Args:
        path: an existing file.
        name: what messages call it.

    Raises:
        BadInput: the file is empty, unreadable, or of a form that Telltale does not read; the sentence says which.

    >>> import tempfile; folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.mp4").write_bytes(bytes([0x89]) + b"PNG" + bytes([13, 10, 26, 10]))
    >>> sniff(folder / "a.mp4", "a.mp4").note
    'a.mp4 is named like a video but is a PNG picture; it was opened as that.'
    """
    try:
        with path.open("rb") as file:
            head = file.read(SNIFFED)
    except OSError as error:
        raise BadInput(f"{name}: the file could not be read ({error.strerror or 'unknown reason'}).") from error
    if not head:
        raise BadInput(f"{name}: expected data, got an empty file (0 bytes): export it again or choose another.")
    extension = path.suffix.lower().lstrip(".")
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF and b"avif" not in head[8:64]:
        raise BadInput(f"{name}: this is a HEIC picture, a form that cannot be read here; export it as JPEG.")
    form = _form(head, path, name, extension)
    kind: Kind | None = None
    if form in PICTURES:
        kind = "image"  # a float TIFF of three channels is a scan; readers.points looks at its tags
    elif form in VIDEOS:
        kind = "video"
    elif form in CLOUDS:
        kind = "points"
    return Sniffed(form=form, kind=kind, note=_mislabel(name, extension, form))


def _form(head: bytes, path: Path, name: str, extension: str) -> Form:
    """Match the signatures, the certain ones first."""
    fixed = _signature(head)
    if fixed is not None:
        return fixed
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(path, name)
    for magic, what in _REFUSED:
        if head.startswith(magic):
            raise BadInput(f"{name}: this is {what}.")
    if _pcd(head):
        return "pcd"
    if _is_text(head):
        _refuse_markup(head, name)
        return "text"
    if _transport_stream(head):
        return "mpegts"
    if extension in _RAW_VIDEO or extension in _EXTENSIONS["mpeg"] or head.startswith((b"\0\0\0\1", b"\0\0\1")):
        return "any video"
    if not head.strip(b"\0"):
        raise BadInput(f"{name}: the file holds only zero bytes, as after a broken copy; copy it again.")
    if _named_like_picture(path):
        raise BadInput(
            f"{name}: this is not a readable picture, its content is of no known kind; copy it again or export it as JPEG or PNG."
        )
    raise BadInput(
        f"{name}: the content is of no known kind; expected video, pictures, 3D scans (xyz TIFF, PLY, PCD), "
        "tables (CSV, TSV, parquet, npz) or logs (JSON lines, text)."
    )


def _named_like_picture(path: Path) -> bool:
    """Does the extension promise a picture?"""
    extension = path.suffix.lower().lstrip(".")
    return extension in _HEIF_EXTENSIONS or any(extension in _EXTENSIONS[form] for form in PICTURES)


def no_table(path: Path, name: str, why: str) -> BadInput:
    """The error for a text that is no table, which for something called a picture says that instead.

    >>> str(no_table(Path("a.jpg"), "a.jpg", "expected rows of data below the header, got none."))
    'a.jpg: this is not a readable picture although it is named like one; copy it again or export it as JPEG or PNG.'
    """
    if _named_like_picture(path):
        why = "this is not a readable picture although it is named like one; copy it again or export it as JPEG or PNG."
    return BadInput(f"{name}: {why}")


def _signature(head: bytes) -> Form | None:
    """Forms with a fixed signature at the beginning of the file."""
    simple: tuple[tuple[bytes, Form], ...] = (
        (b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF87a", "gif"), (b"GIF89a", "gif"),
        (b"II*\0", "tiff"), (b"MM\0*", "tiff"), (b"II+\0", "tiff"), (b"MM\0+", "tiff"),
        (b"\x1aE\xdf\xa3", "matroska"), (b"FLV\x01", "flv"), (b"\0\0\x01\xba", "mpeg"), (b"\0\0\x01\xb3", "mpeg"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"), (b"OggS", "ogg"), (b"YUV4MPEG2 ", "yuv4mpegpipe"),
        (b"PAR1", "parquet"), (b"ARROW1\0\0", "arrow"), (b"\x93NUMPY", "npy"), (b"ply\n", "ply"), (b"ply\r", "ply"),
    )  # fmt: skip
    for magic, form in simple:
        if head.startswith(magic):
            return form
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"AVIX"):
        return "avi"
    if head[:2] == b"BM" and len(head) >= 26 and struct.unpack("<I", head[14:18])[0] in (12, 40, 52, 56, 64, 108, 124):
        return "bmp"
    if head[4:8] == b"ftyp":
        return "avif" if head[8:12] in (b"avif", b"avis") or (head[8:12] in _HEIF and b"avif" in head[8:64]) else "mov"
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return "mov"
    return None


def _zip(path: Path, name: str) -> Form:
    """An npz is a zip of .npy members; every other zip is refused with what it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise BadInput(f"{name}: the archive is cut off or damaged; copy it again.") from error
    if members and all(m.endswith(".npy") for m in members):
        return "npz"
    if any(m.startswith(("xl/", "word/", "ppt/")) for m in members):
        raise BadInput(f"{name}: this is an Office document; save the sheet as CSV.")
    raise BadInput(f"{name}: this is a zip archive; unpack it and drop the files or the folder.")


def _pcd(head: bytes) -> bool:
    """A PCD begins with comments and the VERSION or FIELDS line."""
    lines = [line for line in head[:2000].split(b"\n") if line and not line.startswith(b"#")]
    return bool(lines) and lines[0].split(b" ")[0] in (b"VERSION", b"FIELDS") and any(x.startswith(b"SIZE") for x in lines)


def few_zeros(head: bytes) -> bool:
    """A text may hold a few zero bytes, as a logger leaves them that was cut off; many mean UTF-16 or no text at all.

    >>> few_zeros(b"x" * 4000 + bytes(3)), few_zeros("text".encode("utf-16-le"))
    (True, False)
    """
    return 0 < head.count(0) < _FEW * len(head)


def _refuse_markup(head: bytes, name: str) -> None:
    """Texts that are neither tables nor logs are named, before somebody looks for columns in them."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").decode("ascii", "replace")
    for pattern, what in _REFUSED_TEXT:
        if re.match(pattern, start, re.IGNORECASE | re.DOTALL):
            raise BadInput(f"{name}: this is {what}.")


def _is_text(head: bytes) -> bool:
    """Text has hardly any zero bytes (but for UTF-16/32 with a mark, or UTF-16 Latin text) or control characters."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return True
    if b"\0" in head and not few_zeros(head):
        even, odd = head[0::2], head[1::2]
        zeros = max(even.count(0) / len(even), odd.count(0) / max(1, len(odd)))
        return zeros > 0.4 and min(even.count(0), odd.count(0)) == 0  # UTF-16 without a mark
    controls = sum(b < 32 and b not in b"\0\a\b\t\n\r\f\x1b" for b in head)
    return controls <= 0.01 * len(head)


def _transport_stream(head: bytes) -> bool:
    """MPEG transport packets begin with 0x47 every 188 bytes (192 with time codes in front)."""
    return any(
        len(head) >= start + 4 * size and all(head[start + i * size] == 0x47 for i in range(4))
        for start, size in ((0, 188), (4, 192))
    )


_WORDS = {
    "png": "a PNG picture", "jpeg": "a JPEG picture", "gif": "a GIF picture", "bmp": "a BMP picture", "webp": "a WebP picture",
    "tiff": "a TIFF picture", "avif": "an AVIF picture", "parquet": "a parquet table", "arrow": "an Arrow table",
    "npz": "a NumPy archive", "npy": "a NumPy array", "text": "plain text", "ply": "a PLY scan", "pcd": "a PCD scan",
}  # fmt: skip


def _mislabel(name: str, extension: str, form: Form) -> str:
    """A sentence when the extension promises something else than the content, "" otherwise."""
    if extension not in _PROMISES:
        return ""
    expected: str = (
        "text" if extension in _TEXT else next((f for f, names in _EXTENSIONS.items() if extension in names), "any video")
    )
    if expected == form or form == "any video" or (expected in VIDEOS and form in VIDEOS):
        return ""
    promised = "a video" if expected in VIDEOS else _WORDS[expected]
    found = "a video" if form in VIDEOS else _WORDS[form]
    return f"{name} is named like {promised} but is {found}; it was opened as that."
