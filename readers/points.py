"""3D scans: organised xyz TIFF (H, W, 3 floats), PLY and PCD → (H, W, 3) float32 xyz, or (1, N, 3) for a loose cloud.

Units are the file's own. A point of an organised scan counts as measured when its coordinates are finite and not all zero (the
convention of MVTec 3D-AD); of a loose cloud when they are finite. Formats: Aldus TIFF 6.0; Stanford PLY 1.0; PCL PCD 0.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.samples import PointSample
from core.settings import limits
from readers.clouds import read_pcd, read_ply
from readers.image import Photo, decode


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One scan file that has not been decoded yet, and the picture that belongs to it."""

    path: Path
    name: str
    form: str
    picture: Photo | None = None
    note: str = ""


def tiff_is_scan(path: Path) -> bool:
    """Tell from the tags whether a TIFF holds three floats per pixel; a damaged TIFF is not a scan.

    >>> import tempfile, tifffile; file = Path(tempfile.mkdtemp()) / "a.tiff"
    >>> tifffile.imwrite(file, np.ones((4, 5, 3), np.float32), photometric="rgb"); tiff_is_scan(file)
    True
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            dtype = page.dtype
            planes = page.samplesperpixel if len(file.pages) == 1 else len(file.pages)  # type: ignore[union-attr]
            return bool(dtype is not None and dtype.kind == "f" and planes == 3)
    except Exception:  # tifffile raises many kinds on damaged directories; readers.image will say what is wrong
        return False


def check_scan(scan: Scan) -> tuple[int, int]:
    """Hold the header of a scan against the limits; (height, width) of the grid, (0, 0) when only decoding can tell.

    Raises:
        BadInput: too large.
    """
    size = scan.path.stat().st_size
    if size > limits().max_file_bytes:
        raise BadInput(f"{scan.name}: the scan has {size:,} bytes, allowed are {limits().max_file_bytes:,}.")
    if scan.form != "tiff":
        return 0, 0
    import tifffile

    try:
        with tifffile.TiffFile(scan.path) as file:
            page = file.pages[0]
            height, width = int(page.imagelength), int(page.imagewidth)  # type: ignore[union-attr]
    except Exception as error:  # see above
        raise BadInput(f"{scan.name}: the scan could not be opened; it is cut off or damaged.") from error
    if height * width > limits().max_points:
        raise BadInput(f"{scan.name}: the scan has {height * width:,} points, allowed are {limits().max_points:,}.")
    return height, width


def read_scan(scan: Scan) -> PointSample:
    """Decode one scan and its picture.

    Raises:
        BadInput: cut off, damaged, too large, or without any measured point.
    """
    check_scan(scan)
    notes = [scan.note] if scan.note else []
    rgb: NDArray[np.uint8] | None = None
    if scan.form == "tiff":
        xyz = _read_tiff(scan)
    else:
        cloud = (read_ply if scan.form == "ply" else read_pcd)(scan.path, scan.name)
        xyz, rgb = cloud.xyz, cloud.rgb
        notes.extend(cloud.notes)
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(xyz).all(axis=2))
    organised = xyz.shape[0] > 1
    valid = finite & np.asarray((xyz != 0).any(axis=2)) if organised else finite
    if not valid.any():
        raise BadInput(f"{scan.name}: expected measured points, got none.")
    if not finite.all():
        xyz = np.where(finite[..., None], xyz, np.float32(0))
    if scan.picture is not None:
        picture = decode(scan.picture)
        if picture.size == xyz.shape[:2]:
            rgb = picture.pixels
        else:
            notes.append(f"The picture beside {scan.name} has another size and was left out.")
    return PointSample(name=scan.name, xyz=xyz, valid=valid, rgb=rgb, notes=tuple(notes))


def _read_tiff(scan: Scan) -> NDArray[np.float32]:
    """Xyz (H, W, 3) float32."""
    import tifffile

    try:
        with tifffile.TiffFile(scan.path) as file:
            array: NDArray[Any] = file.asarray()
            if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3:  # x, y and z as planes or pages
                array = np.moveaxis(array, 0, -1)
    except Exception as error:  # tifffile and its codecs raise many kinds on damaged data
        raise BadInput(f"{scan.name}: the scan could not be decoded; it is cut off or damaged.") from error
    if array.ndim != 3 or array.shape[2] != 3:
        raise BadInput(f"{scan.name}: expected xyz of shape height×width×3, got {array.shape}.")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and counts as not measured
        return np.ascontiguousarray(array, dtype=np.float32)
