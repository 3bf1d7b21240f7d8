"""Finds the benchmark data and loads its picture sets.

Data live outside the repository: the folder `TELLTALE_DATA`, by default `shared/data` beside the repository.
Nothing is downloaded.
A set that is absent is reported (BadInput with its name); suites print that and go on.

Axes: pictures (H, W, 3) uint8 RGB; masks (H, W) bool, True where a file's grey value is above one half.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.samples import ImageSample

PICTURE_SETS: tuple[str, ...] = ("mvtec_bottle", "magnetic_tile", "hazelnut_toy")


def data_root(chosen: Path | None = None) -> Path:
    """The data folder: `chosen`, else the environment's TELLTALE_DATA, else ../shared/data seen from the repository."""
    if chosen is not None:
        return chosen
    return Path(os.environ.get("TELLTALE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def folder(root: Path, name: str) -> Path:
    """The folder of one data set.

    Raises:
        BadInput: it is not there; the message says where it was looked for.
    """
    path = root / name
    if not path.is_dir():
        raise BadInput(f"data set {name!r} not found below TELLTALE_DATA ({str(root)!r}).")
    return path


def read_picture(path: Path) -> ImageSample:
    """One photo as a sample named `parent/file`."""
    from PIL import Image

    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"), dtype=np.uint8)
    return ImageSample(name=f"{path.parent.name}/{path.name}", pixels=pixels)


@dataclass(frozen=True, kw_only=True)
class PictureSet:
    """Normal photos to learn from and labelled photos to test on, laid out as train/good, test/KIND, ground_truth/KIND."""

    name: str
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    kinds: tuple[str, ...]
    """Defect kind per test photo, "" when it is good."""
    masks: tuple[Path | None, ...]

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) 1 where the test photo shows a defect."""
        return np.array([kind != "" for kind in self.kinds], dtype=np.int64)

    def normals(self) -> list[ImageSample]:
        """The training photos."""
        return [read_picture(path) for path in self.train]

    def tests(self) -> list[ImageSample]:
        """The test photos."""
        return [read_picture(path) for path in self.test]

    def truth(self, index: int, height: int, width: int) -> NDArray[np.bool_]:
        """The defect's pixels in test photo `index` (nearest neighbour where the mask has another size)."""
        from PIL import Image

        path = self.masks[index]
        if path is None:
            return np.zeros((height, width), dtype=np.bool_)
        with Image.open(path) as picture:
            grey = picture.convert("L").resize((width, height), Image.Resampling.NEAREST)
            return np.asarray(grey, dtype=np.uint8) > 127


def cable_gland(root: Path) -> PictureSet:
    """The colour pictures of MVTec 3D-AD's cable gland, with their masks.

    Raises:
        BadInput: the set is not there.
    """
    base = folder(root, "mvtec3d_cable_gland")
    test = [
        (path, "" if kind.name == "good" else kind.name, None if kind.name == "good" else kind / "gt" / path.name)
        for kind in sorted((base / "test").iterdir()) for path in sorted((kind / "rgb").iterdir())
    ]  # fmt: skip
    paths, kinds, masks = zip(*test, strict=True)
    train = tuple(sorted((base / "train" / "good" / "rgb").iterdir()))
    return PictureSet(name="mvtec3d_cable_gland", train=train, test=paths, kinds=kinds, masks=masks)


def picture_set(root: Path, name: str, *, every: int = 1) -> PictureSet:
    """Load the listing of one of PICTURE_SETS; `every` keeps each n-th photo of training and of each test kind.

    Raises:
        BadInput: the set is not there.
    """
    base = folder(root, name)
    train = [path for normal in sorted((base / "train").iterdir()) for path in sorted(normal.iterdir())[::every]]
    test: list[tuple[Path, str, Path | None]] = []
    for kind in sorted((base / "test").iterdir()):
        truth = base / "ground_truth" / kind.name
        for path in sorted(kind.iterdir())[::every]:
            masks = sorted(truth.glob(f"{path.stem}*.png")) if truth.is_dir() else []
            if truth.is_dir() and len(masks) != 1:
                raise BadInput(f"{name}: expected one mask for {kind.name}/{path.name}, got {len(masks)}.")
            test.append((path, kind.name if masks else "", masks[0] if masks else None))
    paths, kinds, truths = zip(*test, strict=True)
    return PictureSet(name=name, train=tuple(train), test=paths, kinds=kinds, masks=truths)
