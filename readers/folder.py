"""What a folder holds: which of its files matter, which scan belongs to which picture, and whether pictures are frames.

Pictures in a folder are photos unless they clearly are frames: more than 30 of one size, numbered without a hole, and either called
"frame…" or so alike from one to the next that only a moving picture explains it.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.samples import Kind
from core.settings import limits
from readers.image import Photo, decode
from readers.names import listed, shown_relative
from readers.sniff import Sniffed

_SIDECARS = frozenset(
    {"", "txt", "md", "json", "yaml", "yml", "xml", "html", "pdf", "py", "m", "mat", "ini", "cfg", "toml", "license"}
)
_JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_FRAMES_FROM = 31
_ALIKE = 0.6
_PAIRS = 12


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file, what to call it, what it is; `pair` links a scan to its picture."""

    path: Path
    name: str
    sniffed: Sniffed
    pair: str = ""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The files of a folder that make its source, sorted by path; (name, sentence) of those that cannot be read; remarks."""

    files: tuple[Found, ...]
    problems: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()


def listing(folder: Path, name: str, look: Callable[[Path, str], Sniffed], wanted: Kind | None) -> Listing:
    """Return the files of the kind asked for, or of the kind most of them have; a note names the others.

    Args:
        folder: the folder, searched with everything below it.
        name: what messages call it.
        look: tells what a file is; raises BadInput.
        wanted: the kind asked for, None to let the files decide.

    Raises:
        BadInput: too many files, or nothing that can be opened.
    """
    places = _walk(folder)
    if not places:
        raise BadInput(f"{name}: the folder holds no files.")
    if len(places) > limits().max_files + 2 * limits().max_images:
        raise BadInput(
            f"{name}: the folder holds {len(places):,} files, allowed are {limits().max_files + 2 * limits().max_images:,}."
        )
    found: list[Found] = []
    problems: list[tuple[str, str]] = []
    for place in places:
        label = shown_relative(place, folder)
        try:
            found.append(Found(path=place, name=label, sniffed=look(place, label)))
        except BadInput as error:
            if place.suffix.lower().lstrip(".") not in _SIDECARS:
                problems.append((label, str(error)))
    media = [f for f in found if f.sniffed.kind is not None]
    tables = [f for f in found if f.sniffed.kind is None]
    data = [f for f in tables if f.path.suffix.lower().lstrip(".") not in _SIDECARS] or ([] if media else tables)
    groups: dict[Kind | None, list[Found]] = {
        kind: [f for f in media if f.sniffed.kind == kind] for kind in ("video", "points", "image")
    }
    groups[None] = data
    if wanted is not None:
        fits = {"video": ("video", "image"), "image": ("image",), "points": ("points",)}.get(wanted, (None,))
        kept = next((groups[k] for k in fits if groups[k]), [])  # type: ignore[index]
        if wanted == "points" and kept:
            kept = [f for f in media if f.sniffed.kind in ("points", "image")]
        if not kept:
            raise BadInput(f"{name}: the folder holds nothing of the kind {wanted!r}.")
        return Listing(files=tuple(kept), problems=tuple(problems), notes=_others(kept, groups))
    if not any(groups.values()):
        raise BadInput(problems[0][1] if len(problems) == 1 else f"{name}: the folder holds nothing that can be opened.")
    sizes = {kind: len(group) for kind, group in groups.items()}
    if groups["points"]:  # a picture or mask of a scan is no photo of its own
        sizes["image"] = len(_loose(media))
    best = groups[max(sizes, key=lambda kind: sizes[kind])]
    if best is groups["points"]:
        best = [*best, *groups["image"]]
    return Listing(files=tuple(best), problems=tuple(problems), notes=_others(best, groups))


def _loose(files: Sequence[Found]) -> list[Found]:
    """The pictures that belong to no scan."""
    scans, pictures, _ = scan_pairs(files)
    used = {s.pair for s in scans}
    return [f for key, f in pictures.items() if key not in used]


def _others(kept: Sequence[Found], groups: Mapping[Kind | None, Sequence[Found]]) -> tuple[str, ...]:
    """A note that names what another kind keeps out."""
    names = sorted({f.name for group in groups.values() for f in group} - {f.name for f in kept})
    return (f"Left out: {len(names):,} file{'s' * (len(names) > 1)} of another kind ({listed(names)}).",) if names else ()


def scan_pairs(files: Sequence[Found]) -> tuple[list[Found], dict[str, Found], tuple[str, ...]]:
    """Split scans from pictures and link those with equal numbers in sister folders (…/xyz/000.tiff and …/rgb/000.png).

    Returns:
        (scans with `pair` set, pair → picture, notes)
    """
    scans = [f for f in files if f.sniffed.kind == "points"]
    pictures: dict[str, Found] = {}
    for f in files:
        folder = f.path.parent.name.lower()
        if f.sniffed.kind == "image" and folder not in ("gt", "ground_truth", "mask", "masks"):
            key = str(
                (f.path.parent.parent if folder in ("rgb", "color", "colour", "image", "images") else f.path.parent) / f.path.stem
            )
            pictures.setdefault(key, f)
    linked, used = [], set()
    for f in scans:
        base = f.path.parent.parent if f.path.parent.name.lower() in ("xyz", "depth", "points", "pcd", "ply") else f.path.parent
        key = str(base / f.path.stem)
        linked.append(Found(path=f.path, name=f.name, sniffed=f.sniffed, pair=key))
        used.add(key)
    shown = {pictures[key].path for key in used & pictures.keys()}
    unused = [f.name for f in files if f.sniffed.kind == "image" and f.path not in shown]
    verb = "pictures belong" if len(unused) > 1 else "picture belongs"
    note = f"{len(unused):,} {verb} to no scan and {'were' if len(unused) > 1 else 'was'} left out ({listed(unused)})."
    return linked, pictures, (note,) if unused else ()


def is_clip(photos: Sequence[Photo]) -> str:
    """Return why these pictures are frames of one clip, "" when they are photos."""
    if len(photos) < _FRAMES_FROM or len({(p.height, p.width) for p in photos}) > 1:
        return ""
    parts = [re.match(r"^(.*?)(\d+)$", p.path.stem) for p in photos]
    if not all(parts) or len({p.path.parent for p in photos}) > 1:
        return ""
    prefixes = Counter(m.group(1).lower() for m in parts if m)
    numbers = [int(m.group(2)) for m in parts if m]
    if len(prefixes) > 1 or any(b - a != 1 for a, b in pairwise(numbers)):
        return ""
    override = "Open with kind 'image' to treat them as photos."
    if "frame" in next(iter(prefixes)):
        return f"The {len(photos)} pictures are numbered frames of one size and were taken as a clip. {override}"
    if _neighbours_alike(photos):
        return f"The {len(photos)} numbered pictures change so little from one to the next that they were taken as a clip. {override}"
    return ""


def _neighbours_alike(photos: Sequence[Photo]) -> bool:
    """Do neighbours differ far less than pictures far apart, and not at all like the same picture twice?"""
    from core.samples import shrink

    def thumb(index: int) -> NDArray[np.float32]:
        small = shrink(decode(photos[index], max_side=64).pixels, 48)
        return np.asarray(small.mean(axis=2), dtype=np.float32)

    try:
        starts = np.linspace(0, len(photos) - 2, _PAIRS).astype(int)
        first, second = [thumb(int(i)) for i in starts], [thumb(int(i) + 1) for i in starts]
    except BadInput:
        return False
    near = np.median([np.abs(a - b).mean() for a, b in zip(first, second, strict=True)])
    half = len(first) // 2
    far = np.median([np.abs(a - b).mean() for a, b in zip(first, np.roll(np.stack(first), half, axis=0), strict=True)])
    return bool(near < _ALIKE * far)


def _walk(folder: Path) -> list[Path]:
    """Files below `folder`, sorted; hidden files, junk and links that lead outside are passed over."""
    root = folder.resolve()
    result = []
    for base, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(d for d in folders if not d.startswith(".") and d.lower() not in _JUNK)
        for file in files:
            place = Path(base) / file
            if file.startswith(".") or file.lower() in _JUNK or not place.is_file():
                continue
            if place.is_symlink() and not place.resolve().is_relative_to(root):
                continue
            result.append(place)
    return sorted(result, key=lambda p: p.relative_to(folder).parts)
