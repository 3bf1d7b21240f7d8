"""Photos and 3D scans as lazy sources; numbered pictures as a clip.

The first pictures of a source are decoded while it is opened and stay in its cache, the rest is only checked at the ends of the
files: so a damaged file is nearly always found at once, and five thousand photos still open in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.errors import BadInput, UserError
from core.samples import ImageSample, Kind, PointSample
from core.settings import limits
from readers.folder import Found, is_clip
from readers.image import Photo, decode, inspect, looks_whole, shared_window
from readers.lazy import LazySamples
from readers.names import distinct, told_apart
from readers.points import Scan, check_scan, read_scan
from readers.source import Refusal, Source, first_problem, left_out, make_source, sha256_file, sha256_list, wrong_kind
from readers.video import clip_of_photos

_PROOF_PIXELS = 64_000_000
_PROOF_POINTS = 8_000_000


def photo_source(
    files: Sequence[Found],
    name: str,
    wanted: Kind | None,
    refused: list[Refusal],
    *,
    notes: Sequence[str] = (),
    folder: bool = False,
) -> Source:
    """Make one lazy source of photos, or one clip when they are frames.

    Args:
        files: the pictures in their order.
        name: what the source is called.
        wanted: "video" makes a clip of them.
        refused: gets the pictures that cannot be opened.
        notes: remarks to carry along.
        folder: they come from one folder, so they may be frames.

    Raises:
        BadInput: none can be opened, or too many.
    """
    if wanted not in (None, "image", "video"):
        raise wrong_kind(name, wanted, "image")
    if len(files) > limits().max_images:
        raise BadInput(f"{name}: {len(files):,} pictures, allowed are {limits().max_images:,}.")
    problems: list[Refusal] = []
    photos: list[Photo] = []
    labels = distinct(told_apart([f.name for f in files], [f.path for f in files]))
    for found, label in zip(files, labels, strict=True):
        try:
            photos.append(inspect(found.path, label, found.sniffed.form, note=found.sniffed.note))
        except UserError as error:
            problems.append(Refusal(name=label, message=str(error)))
    clip_note = is_clip(photos) if folder and wanted is None and not problems else ""
    if wanted == "video" or clip_note:
        refused.extend(problems)
        remarks = [*notes, *([clip_note] if clip_note else []), *([left_out([p.message for p in problems])] if problems else [])]
        return _clip(photos, name, remarks)
    window = shared_window(photos)
    kept: list[Photo] = []
    proofs: list[tuple[int, ImageSample]] = []
    budget = _PROOF_PIXELS
    for photo in photos:
        budget -= photo.height * photo.width
        try:
            if budget > 0 or not looks_whole(photo):
                sample = decode(photo, window=window)
                if budget > 0:
                    proofs.append((len(kept), sample))
            kept.append(photo)
        except UserError as error:
            problems.append(Refusal(name=photo.name, message=str(error)))
    refused.extend(problems)
    if not kept:
        raise first_problem(name, problems)
    samples = LazySamples([p.name for p in kept], lambda index: decode(kept[index], window=window), known=proofs)
    remarks = [*notes, *([left_out([p.message for p in problems])] if problems else []), *(p.note for p in kept if p.note)]
    if window is not None:
        remarks.append(f"Levels {window[0]:g} to {window[1]:g} of the deep pictures were mapped to 0 to 255.")
    hashes = [(p.name, sha256_file(p.path)) for p in kept]
    sha = hashes[0][1] if len(files) == 1 and not folder else sha256_list(hashes)
    return make_source(name, samples, sha, remarks, photos=kept)


def scan_source(
    files: Sequence[Found], pictures: Mapping[str, Found], name: str, wanted: Kind | None, refused: list[Refusal], *,
    notes: Sequence[str] = (), folder: bool = False,
) -> Source:  # fmt: skip
    """Make one lazy source of 3D scans; `pictures` are those beside them, by the scan's `pair` or the stem of its file.

    Raises:
        BadInput: none can be opened, too many, or another kind was asked for.
    """
    if wanted not in (None, "points"):
        raise wrong_kind(name, wanted, "points")
    if len(files) > limits().max_images:
        raise BadInput(f"{name}: {len(files):,} scans, allowed are {limits().max_images:,}.")
    kept: list[Scan] = []
    problems: list[Refusal] = []
    proofs: list[tuple[int, PointSample]] = []
    hashes: list[tuple[str, str]] = []
    budget = _PROOF_POINTS
    for found, label in zip(files, distinct([f.name for f in files]), strict=True):
        beside = pictures.get(found.pair or found.path.stem)
        try:
            photo = inspect(beside.path, beside.name, beside.sniffed.form) if beside is not None else None
            scan = Scan(path=found.path, name=label, form=found.sniffed.form, picture=photo, note=found.sniffed.note)
            check_scan(scan)
            if budget > 0 or scan.form != "tiff":
                sample = read_scan(scan)
                budget -= sample.valid.size
                if budget > 0:
                    proofs.append((len(kept), sample))
            kept.append(scan)
            hashes.append((label, sha256_file(found.path)))
            if beside is not None:
                hashes.append((beside.name, sha256_file(beside.path)))
        except UserError as error:
            problems.append(Refusal(name=label, message=str(error)))
    refused.extend(problems)
    if not kept:
        raise first_problem(name, problems)
    samples = LazySamples([s.name for s in kept], lambda index: read_scan(kept[index]), known=proofs)
    remarks = [*notes, *([left_out([p.message for p in problems])] if problems else []), *(s.note for s in kept if s.note)]
    sha = hashes[0][1] if len(hashes) == 1 and len(files) == 1 and not folder else sha256_list(hashes)
    return make_source(name, samples, sha, remarks)


def _clip(photos: Sequence[Photo], name: str, notes: Sequence[str]) -> Source:
    """Pictures in the order of their numbers as one clip."""
    if len(photos) < 2:
        raise BadInput(f"{name}: expected a video or at least two frames, got {len(photos)} picture.")
    ordered = [replace(p, note="") for p in sorted(photos, key=lambda p: _natural(p.name))]
    clip = clip_of_photos(ordered, name, notes=tuple(notes))
    return make_source(name, (clip,), sha256_list([(p.name, sha256_file(p.path)) for p in ordered]), ())


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Order frame2 before frame10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name)]
