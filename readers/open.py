"""Open whatever a person drops in: files and folders become sources, each with samples of one kind.

The content decides what a file is (`readers.sniff`), never its name. A folder is one source; loose photos dropped together are one
source in drop order, loose scans likewise; every other file is a source of its own. Nothing here trusts a file: limits come from
`core.settings.limits()` and are held against headers before anything is decoded, and whatever is wrong becomes one sentence.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from core.errors import BadInput, TelltaleError, UnknownName, UserError
from core.samples import KINDS, Kind, Sample
from core.settings import limits
from readers.folder import Found, listing, scan_pairs
from readers.names import shown_name
from readers.pictures import photo_source, scan_source
from readers.points import tiff_is_scan
from readers.sniff import ARRAYS, Sniffed, sniff
from readers.source import Opened, Refusal, Source, first_problem, left_out, make_source, sha256_file, sha256_list, wrong_kind
from readers.video import open_video

__all__ = ["Opened", "Refusal", "Source", "open_all", "open_path"]

_log = logging.getLogger(__name__)


def open_path(path: str | os.PathLike[str], *, kind: str | None = None, roles: Mapping[str, str] | None = None) -> Source:
    """Open one file or one folder.

    Args:
        path: a file or a folder.
        kind: "image", "points", "video", "series" or "events" to overrule what the content suggests.
        roles: for events, role → column, to overrule what the columns suggest.

    Raises:
        BadInput: missing, empty, damaged, too large, or of another kind; one sentence that names the file.
        UnknownName: `kind`, a role or a column does not exist; the message lists the known ones.

    >>> import tempfile, numpy as np; from PIL import Image
    >>> file = Path(tempfile.mkdtemp()) / "part.png"; Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(file)
    >>> source = open_path(file); source.kind, source.summary["n"], source.samples[0].size
    ('image', 1, (4, 6))
    """
    wanted = _known_kind(kind)
    name = shown_name(path)
    with _one_sentence(name):
        place = _existing(path, name)
        if place.is_dir():
            return _folder(place, wanted, roles, [])
        return _file(Found(path=place, name=name, sniffed=_look(place, name)), wanted, roles)


def open_all(
    paths: Iterable[str | os.PathLike[str]], *, kind: str | None = None, roles: Mapping[str, str] | None = None
) -> Opened:
    """Open everything that was dropped together; what cannot be opened is listed in `refused`, the rest is there.

    Sources come in the order in which their first file was dropped.

    Raises:
        UnknownName: `kind`, or (when a single event log was given) a role or column, does not exist.

    >>> opened = open_all(["no such file.csv"]); opened.sources, opened.refused[0].message
    ((), 'no such file.csv: no such file or folder.')
    """
    wanted = _known_kind(kind)
    given = list(paths)
    refused: list[Refusal] = []
    if len(given) > max(limits().max_files, limits().max_images):
        name = f"{len(given):,} files"
        refused.append(
            Refusal(name=name, message=f"{name} at once, allowed are {limits().max_files:,}; give their folder instead.")
        )
        return Opened(sources=(), refused=tuple(refused))
    slots: list[Source | list[Found]] = []
    photos: list[Found] = []
    scans: list[Found] = []
    for item in given:
        name = shown_name(item)
        try:
            with _one_sentence(name):
                place = _existing(item, name)
                if place.is_dir():
                    slots.append(_folder(place, wanted, roles, refused))
                    continue
                found = Found(path=place, name=name, sniffed=_look(place, name))
                group = _group_of(found, wanted, photos, scans)
                if group is None:
                    slots.append(_file(found, wanted, roles))
                else:
                    if not group:
                        slots.append(group)
                    group.append(found)
        except UnknownName as error:
            if len(given) == 1:
                raise
            refused.append(Refusal(name=name, message=f"{name}: {error}"))
        except UserError as error:
            refused.append(Refusal(name=name, message=str(error)))
    beside = {f.path.stem: f for f in photos}
    if scans and wanted in (None, "points") and beside.keys() <= {f.path.stem for f in scans}:
        slots = [s for s in slots if s is not photos]  # every picture belongs to the scan with its number
    sources: list[Source] = []
    for slot in slots:
        if isinstance(slot, Source):
            sources.append(slot)
            continue
        what = "scans" if slot is scans else "photos"
        name = slot[0].name if len(slot) == 1 else f"{len(slot)} {what}"
        before = len(refused)
        try:
            with _one_sentence(name):
                sources.append(
                    scan_source(slot, beside, name, wanted, refused)
                    if slot is scans
                    else photo_source(slot, name, wanted, refused)
                )
        except UserError as error:
            if len(refused) == before:
                refused.append(Refusal(name=name, message=str(error)))
    return Opened(sources=tuple(sources), refused=tuple(refused))


@contextmanager
def _one_sentence(name: str) -> Iterator[None]:
    """Whatever a stranger's file makes a library raise ends as one sentence here; the log keeps the whole story."""
    try:
        yield
    except TelltaleError:
        raise
    except OSError as error:
        raise BadInput(f"{name}: the file could not be read ({error.strerror or type(error).__name__}).") from error
    except MemoryError as error:
        raise BadInput(f"{name}: there is not enough memory to open it; cut it into smaller parts.") from error
    except Exception as error:
        _log.exception("opening a file ended with an unexpected %s", type(error).__name__)
        raise BadInput(f"{name}: it could not be opened; its content is damaged or of an unusual sort.") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # polars' Rust panics are no Exception
            raise
        _log.error("opening a file ended with a panic in polars")
        raise BadInput(f"{name}: it could not be opened; its content is damaged or of an unusual sort.") from error


def _known_kind(kind: str | None) -> Kind | None:
    """Check the name of a kind."""
    for known in KINDS:
        if known == kind:
            return known
    if kind is None:
        return None
    raise UnknownName.among("kind", kind, list(KINDS))


def _existing(path: str | os.PathLike[str], name: str) -> Path:
    """The path, if there is a file or folder."""
    try:
        place = Path(path)
        if not os.fspath(path):
            raise ValueError("an empty path would mean the current folder")
        if place.is_dir() or place.is_file():
            return place
        there = place.exists()
    except (OSError, ValueError) as error:
        raise BadInput(f"{name}: this is not a usable path.") from error
    if there:
        raise BadInput(f"{name}: expected a file or a folder, got something else (a device or a pipe).")
    raise BadInput(f"{name}: no such file or folder.")


def _look(path: Path, name: str) -> Sniffed:
    """Sniff, and tell scans from pictures among TIFF files."""
    seen = sniff(path, name)
    if seen.form == "tiff" and tiff_is_scan(path):
        return Sniffed(form=seen.form, kind="points", note=seen.note)
    return seen


def _group_of(found: Found, wanted: Kind | None, photos: list[Found], scans: list[Found]) -> list[Found] | None:
    """The group a loose file joins, None when it stands alone."""
    if found.sniffed.kind == "image" and wanted in (None, "image", "video", "points"):
        return photos
    if found.sniffed.kind == "points" and wanted in (None, "points"):
        return scans
    return None


def _file(found: Found, wanted: Kind | None, roles: Mapping[str, str] | None) -> Source:
    """Open one file."""
    seen, name = found.sniffed, found.name
    if seen.kind is not None and wanted not in (None, seen.kind):
        raise wrong_kind(name, wanted, seen.kind)
    if seen.kind is None and wanted not in (None, "series", "events"):
        raise wrong_kind(name, wanted, "a table or text")
    if seen.kind == "image":
        return photo_source([found], name, wanted, [])
    if seen.kind == "points":
        return scan_source([found], {}, name, wanted, [])
    size = found.path.stat().st_size
    if size > limits().max_file_bytes:
        raise BadInput(f"{name}: the file has {size:,} bytes, allowed are {limits().max_file_bytes:,}.")
    is_video = seen.kind == "video"
    samples = (open_video(found.path, name, form=seen.form),) if is_video else _table(found, wanted, roles)
    return make_source(name, samples, sha256_file(found.path), [seen.note] if seen.note else [])


def _table(found: Found, wanted: Kind | None, roles: Mapping[str, str] | None) -> Sequence[Sample]:
    """Samples of a table, an array file or a text log."""
    from readers.arrays import read_arrays
    from readers.tabular import read_tabular

    if found.sniffed.form in ARRAYS:
        if wanted == "events":
            raise wrong_kind(found.name, wanted, "arrays of numbers")
        return read_arrays(found.path, found.name, found.sniffed.form)
    return read_tabular(found.path, found.name, found.sniffed.form, wanted=wanted, roles=roles)


def _folder(folder: Path, wanted: Kind | None, roles: Mapping[str, str] | None, refused: list[Refusal]) -> Source:
    """Open a folder as one source of the kind most of its files have."""
    name = shown_name(folder.resolve())
    there = listing(folder, name, _look, wanted)
    notes = [*([left_out([message for _, message in there.problems])] if there.problems else []), *there.notes]
    refused.extend(Refusal(name=label, message=message) for label, message in there.problems)
    kinds = {f.sniffed.kind for f in there.files}
    if "points" in kinds:
        scans, pictures, pair_notes = scan_pairs(there.files)
        return scan_source(scans, pictures, name, wanted, refused, notes=[*notes, *pair_notes], folder=True)
    if "image" in kinds:
        return photo_source(there.files, name, wanted, refused, notes=notes, folder=True)
    sources: list[Source] = []
    failed: list[Refusal] = []
    for found in there.files:
        try:
            with _one_sentence(found.name):
                source = _file(found, wanted or (sources[0].kind if sources else None), roles)
            sources.append(source)
        except UnknownName:
            raise
        except UserError as error:
            failed.append(Refusal(name=found.name, message=str(error)))
    refused.extend(failed)
    if not sources:
        raise first_problem(name, failed)
    if failed:
        notes.append(left_out([f.message for f in failed]))
    samples = tuple(s for source in sources for s in source.samples)
    return make_source(name, samples, sha256_list([(s.name, s.sha256) for s in sources]), notes)
