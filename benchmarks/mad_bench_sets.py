"""MAD-Bench's severity levels, and their photos where they are: which level each test photo has, and what normal ones look like.

Levels come from a data set's own `severity.csv` (columns image_stem, level) or from a template of `mad_bench_severity` (columns Path,
Severity), both of Cao et al. 2024 (arXiv 2411.14515). Photos are looked for as `mvtec_bottle/train/good` and `mvtec_bottle/test/KIND`
below the data folder, and below its folder `mad_bench`, as MAD-Bench's own download lays them out. Half levels are rounded up, as in
its protocol.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import folder, read_picture
from core.errors import BadInput
from core.samples import ImageSample

TEMPLATES = "mad_bench_severity"
DOWNLOADED = "mad_bench"
"""Folder of MAD-Bench's own download: Industry, Medical and OneClassNovelty lie in it."""
PHOTO = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_SUFFIX = "_template.csv"


@dataclass(frozen=True, kw_only=True)
class SeverityMap:
    """Names and levels without photos: `paths` below the test folder, `kinds` of defect ("" = normal), `levels` (N,), 0 = normal."""

    name: str
    paths: tuple[str, ...]
    kinds: tuple[str, ...]
    levels: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class SeveritySet:
    """A severity map with its photos; `masks` hold a defect's pixels where the data set has them."""

    map: SeverityMap
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    masks: tuple[Path | None, ...]

    def normals(self) -> list[ImageSample]:
        """The training photos."""
        return [read_picture(path) for path in self.train]

    def tests(self) -> list[ImageSample]:
        """The test photos, in the order of the levels."""
        return [read_picture(path) for path in self.test]


def map_names(root: Path) -> list[str]:
    """Names of all severity maps: of the templates, and of data sets that bring their own.

    Raises:
        BadInput: there is none; the message says where it was looked for.
    """
    templates = {path.name.removesuffix(_SUFFIX) for path in (root / TEMPLATES).glob(f"*{_SUFFIX}")}
    names = sorted(templates | {path.parent.name for path in root.glob("*/severity.csv")})
    if not names:
        raise BadInput(
            f"no severity map found: neither {TEMPLATES}/*{_SUFFIX} nor */severity.csv below TELLTALE_DATA ({str(root)!r})."
        )
    return names


def severity_map(root: Path, name: str) -> SeverityMap:
    """The levels of one data set, its own before the template's.

    Raises:
        BadInput: there is no such map, or a line of it has no level; the message names file and line.
    """
    own, template = root / name / "severity.csv", root / TEMPLATES / f"{name}{_SUFFIX}"
    path, columns = (own, ("image_stem", "level")) if own.is_file() else (template, ("Path", "Severity"))
    if not path.is_file():
        raise BadInput(f"severity map {name!r}: neither {own.name} nor {TEMPLATES}/{template.name} found below {str(root)!r}.")
    rows = list(_rows(path, *columns))
    if not rows:
        raise BadInput(f"severity map {path.name}: expected at least one row, got none.")
    paths, levels = zip(*rows, strict=True)
    kinds = tuple("" if level == 0 else _kind(file) for file, level in rows)
    return SeverityMap(name=name, paths=paths, kinds=kinds, levels=np.array(levels, dtype=np.int64))


def _rows(path: Path, file_column: str, level_column: str) -> Iterator[tuple[str, int]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                name, level = row[file_column].removeprefix("test/"), float(row[level_column])
            except (KeyError, TypeError, ValueError, AttributeError):
                level, name = math.nan, ""
            if not (name and math.isfinite(level) and level >= 0):
                raise BadInput(
                    f"{path.name}, line {number}: expected {file_column} and {level_column} (a level from 0), got {row!r:.90}."
                )
            yield name, math.ceil(level)


def _kind(file: str) -> str:
    """The kind of defect in words, from the folder a photo lies in.

    >>> _kind("broken_large_level_3/000.png"), _kind("broken_large/000"), _kind("level_2/cats/a.jpg")
    ('broken large', 'broken large', 'cats')
    """
    parents = [re.sub(r"_?level_\d+(_test)?$", "", part) for part in file.split("/")[:-1]]
    return next((part.replace("_", " ") for part in reversed(parents) if part), "")


def severity_set(root: Path, name: str, *, every: int = 1) -> SeveritySet:
    """A map with its photos; `every` keeps each n-th photo of training and of each test kind.

    Raises:
        BadInput: the photos are not there, or some of them are missing.
    """
    levels = severity_map(root, name)
    train, test = _folders(root, name)
    index = {str(path.relative_to(test).with_suffix("")): path for path in sorted(test.rglob("*")) if _is_photo(path)}
    found = [index.get(stem := re.sub(r"\.\w+$", "", file)) or index.get(_official(stem)) for file in levels.paths]
    missing = [file for file, path in zip(levels.paths, found, strict=True) if path is None]
    if missing:
        raise BadInput(
            f"{name}: {len(missing)} of {len(found)} photos of the severity map are missing, the first is {missing[0]!r}."
        )
    normal = tuple(path for path in sorted(train.rglob("*")) if _is_photo(path))
    if not normal:
        raise BadInput(f"{name}: expected normal photos in {str(train)!r}, found none.")
    kept = _each(levels.kinds, every)
    paths = tuple(path for path in found if path is not None)
    return SeveritySet(
        map=SeverityMap(
            name=name, paths=tuple(levels.paths[i] for i in kept), kinds=tuple(levels.kinds[i] for i in kept), levels=levels.levels[kept]
        ),
        train=normal[::every], test=tuple(paths[i] for i in kept),
        masks=tuple(_mask(test.parent / "ground_truth" / paths[i].parent.name, paths[i]) for i in kept),
    )  # fmt: skip


def _folders(root: Path, name: str) -> tuple[Path, Path]:
    """Folders of the normal training photos and of the test photos."""
    if (root / name / "test").is_dir():
        return folder(root, name) / "train" / "good", root / name / "test"
    group, _, part = name.partition("_")
    base = root / DOWNLOADED
    places = {
        "mvtec": (base / "Industry" / "mvtec" / part / "train" / "good", base / "Industry" / "mvtec" / part / "test"),
        "visa": (base / "Industry" / "visa" / part / "train" / "good", base / "Industry" / "visa" / part / "test"),
        "multidog": (base / "OneClassNovelty" / "multidog" / "level_0_train" / part, base / "OneClassNovelty" / "multidog"),
    }
    train, test = places.get(group, (base / "Medical" / name / "level_0_train", base / "Medical" / name))
    if not test.is_dir():
        raise BadInput(f"photos of {name!r} not found: neither {name}/test nor {test.relative_to(root)} below {str(root)!r}.")
    return train, test


def _official(stem: str) -> str:
    """A template's path in the layout of the original data set.

    >>> _official("good_level_0/014"), _official("crack_level_3/001")
    ('good/014', 'crack/001')
    """
    return re.sub(r"_level_\d+/", "/", stem)


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in PHOTO


def _mask(truth: Path, photo: Path) -> Path | None:
    masks = sorted(truth.glob(f"{photo.stem}*.png")) if truth.is_dir() else []
    return masks[0] if masks else None


def _each(kinds: tuple[str, ...], every: int) -> list[int]:
    """Each n-th index of every kind, in order."""
    seen: dict[str, int] = {}
    kept = []
    for i, kind in enumerate(kinds):
        seen[kind] = seen.get(kind, -1) + 1
        if seen[kind] % every == 0:
            kept.append(i)
    return kept
