"""PLY and PCD point clouds, ASCII and binary → xyz (H, W, 3) float32 and rgb (H, W, 3) uint8 or None.

Source of the formats: Turk, The PLY Polygon File Format (1994); the PCD 0.7 file format of the Point Cloud Library.
Compressed PCD (`binary_compressed`) is refused with the command that converts it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.settings import limits

_HEADER_LINES = 1000
_PLY_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Cloud:
    """Points on a grid (H, W, 3); a loose cloud has H = 1."""

    xyz: NDArray[np.float32]
    rgb: NDArray[np.uint8] | None
    notes: tuple[str, ...] = ()


def read_ply(path: Path, name: str) -> Cloud:
    """Read the vertices of a PLY file.

    Raises:
        BadInput: no vertices with x, y and z, cut off, or more points than allowed.
    """
    with path.open("rb") as file:
        lines = _header(file, name, "end_header")
        style, elements = _ply_header(lines, name)
        rows = 0
        for element, count, properties in elements:
            if element == "vertex":
                rows = count
                break
            if any(p[1] is None for p in properties):
                raise BadInput(f"{name}: expected the vertices first, got a list element {element!r} before them.")
            _pass_over(file, count, None if style == "ascii" else _size(properties), f"{name}: the element {element!r}")
        if rows < 1:
            raise BadInput(f"{name}: expected points, got none.")
        names = [p[0] for p in properties]
        if any(p[1] is None for p in properties):
            raise BadInput(f"{name}: expected plain numbers per vertex, got a list property.")
        _check(rows, names, name)
        order = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}[style]
        dtype = np.dtype([(f"{n}", order + str(t)) for n, t in properties])
        table = _ascii(file, rows, names, name) if style == "ascii" else _binary(file, rows, dtype, name)
    return _cloud(table, names, (1, rows), name)


def read_pcd(path: Path, name: str) -> Cloud:
    """Read a PCD file; WIDTH×HEIGHT with HEIGHT > 1 stays a grid.

    Raises:
        BadInput: no x, y and z fields, compressed, cut off, or more points than allowed.
    """
    with path.open("rb") as file:
        header: dict[str, list[str]] = {}
        for line in _header(file, name, "DATA"):
            if line and not line.startswith("#"):
                key, *values = line.split()
                header[key.upper()] = values
        try:
            fields = header["FIELDS"]
            sizes = [int(v) for v in header["SIZE"]]
            types = header["TYPE"]
            counts = [int(v) for v in header.get("COUNT", ["1"] * len(fields))]
            width, height = int(header["WIDTH"][0]), int(header.get("HEIGHT", ["1"])[0])
            style = header["DATA"][0].lower()
            kinds = {"F": "f", "U": "u", "I": "i"}
            if min(counts) < 0 or sum(counts) > limits().max_point_fields:
                raise BadInput(
                    f"{name}: expected 0 to {limits().max_point_fields:,} numbers per point, "
                    f"got COUNT {' '.join(header['COUNT'])[:60]}; export the scan again."
                )
            layout = [
                (field if count == 1 else f"{field}_{k}", f"<{kinds[kind]}{size}")
                for field, size, kind, count in zip(fields, sizes, types, counts, strict=True)
                for k in range(count)
            ]
            layout = [(f"_{i}" if field.startswith("_") else field, kind) for i, (field, kind) in enumerate(layout)]
            dtype = np.dtype(layout)
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise BadInput(f"{name}: the PCD header is incomplete or contradicts itself.") from error
        rows = width * height
        if min(width, height) < 1:
            raise BadInput(f"{name}: expected a width and a height of at least 1, got {width}×{height}; export the scan again.")
        names = [n for n, _ in layout]
        _check(rows, names, name)
        if style == "ascii":
            table = _ascii(file, rows, names, name)
        elif style == "binary":
            table = _binary(file, rows, dtype, name)
        else:
            raise BadInput(f"{name}: PCD data {style!r} cannot be read; convert it with: pcl_convert_pcd_ascii_binary IN OUT 1")
    return _cloud(table, names, (height, width), name)


def _header(file: BinaryIO, name: str, last: str) -> list[str]:
    """Lines up to and including the one that begins with `last`."""
    lines = []
    for _ in range(_HEADER_LINES):
        raw = file.readline(4096)
        if not raw:
            break
        line = raw.decode("ascii", "replace").strip()
        lines.append(line)
        if line.split(" ")[0] == last:
            return lines
    raise BadInput(f"{name}: the header of the scan is cut off; expected a line {last!r}.")


_Property = tuple[str, str | None]


def _ply_header(lines: list[str], name: str) -> tuple[str, list[tuple[str, int, list[_Property]]]]:
    """(style, [(element, count, [(property, numpy type or None for a list)])])."""
    style = ""
    elements: list[tuple[str, int, list[_Property]]] = []
    try:
        for line in lines[1:]:
            words = line.split()
            if not words or words[0] in ("comment", "obj_info", "end_header"):
                continue
            if words[0] == "format":
                style = words[1]
            elif words[0] == "element":
                elements.append((words[1], int(words[2]), []))
                if elements[-1][1] < 0:
                    raise BadInput(f"{name}: expected a count of 0 or more, got {line[:60]!r}; export the scan again.")
            elif words[0] == "property":
                kind = None if words[1] == "list" else _PLY_TYPES[words[1]]
                elements[-1][2].append((words[-1], kind))
    except (IndexError, ValueError, KeyError) as error:
        raise BadInput(f"{name}: the PLY header could not be understood at {line!r}.") from error
    if style not in ("ascii", "binary_little_endian", "binary_big_endian"):
        raise BadInput(f"{name}: expected PLY format ascii or binary, got {style!r}.")
    return style, elements


def _check(rows: int, names: list[str], name: str) -> None:
    """Hold the announced points against the limits, and their fields against the shape of an array, before one is made."""
    if rows > limits().max_points:
        raise BadInput(f"{name}: the scan announces {rows:,} points, allowed are {limits().max_points:,}.")
    if len(set(names)) < len(names):
        raise BadInput(f"{name}: expected every field of a point once, got {', '.join(names)[:200]}; export the scan again.")


def _size(properties: list[_Property]) -> int:
    """Bytes of one binary entry."""
    return sum(np.dtype(kind).itemsize for _, kind in properties)


def _left(file: BinaryIO) -> int:
    """Bytes from here to the end of the file."""
    here = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(here)
    return end - here


def _pass_over(file: BinaryIO, count: int, size: int | None, what: str) -> None:
    """Go past `count` entries of `size` bytes, or of one line each (None); a header may announce more than the file holds."""
    there = _left(file)
    if count * (1 if size is None else size) > there:
        raise BadInput(f"{what} announces {count:,} entries, but only {there:,} bytes follow; it is cut off or damaged.")
    if size is not None:
        file.seek(count * size, io.SEEK_CUR)
        return
    for _ in range(count):
        if not file.readline():
            return  # the points that are missing then are what the person is told


def _binary(file: BinaryIO, rows: int, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """Structured array (rows,)."""
    there = _left(file)
    if there < rows * dtype.itemsize:  # before `read` sets aside what the header asks for
        raise BadInput(f"{name}: the scan announces {rows:,} points but is cut off after {there // dtype.itemsize:,}.")
    return np.frombuffer(file.read(rows * dtype.itemsize), dtype=dtype)


def _ascii(file: BinaryIO, rows: int, names: list[str], name: str) -> NDArray[Any]:
    """Structured array (rows,) of float64 from lines of numbers."""
    there = _left(file)
    if rows * len(names) > there:  # a number takes at least a digit
        raise BadInput(f"{name}: the scan announces {rows:,} points, but only {there:,} bytes follow; it is cut off or damaged.")
    text = file.read()
    lines = text.split(b"\n", rows)[:rows]
    try:
        values = np.array(b" ".join(lines).split(), dtype=np.float64).reshape(-1, len(names))
    except ValueError as error:
        raise BadInput(f"{name}: expected {len(names)} numbers per point, got something else or a cut-off line.") from error
    if len(values) < rows:
        raise BadInput(f"{name}: the scan announces {rows:,} points but is cut off after {len(values):,}.")
    table = np.empty(rows, dtype=[(n, "f8") for n in names])
    for k, field in enumerate(names):
        table[field] = values[:rows, k]
    return table


def _cloud(table: NDArray[Any], names: list[str], grid: tuple[int, int], name: str) -> Cloud:
    """Pick the coordinates and, when there, the colours."""
    if not {"x", "y", "z"} <= set(names):
        raise BadInput(f"{name}: expected the fields x, y and z, got {', '.join(names)}.")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and counts as not measured
        xyz = np.stack([table[axis].astype(np.float32) for axis in "xyz"], axis=-1).reshape(*grid, 3)
    beyond = sum(int((np.isfinite(table[axis]) & np.isinf(xyz[..., k].ravel())).sum()) for k, axis in enumerate("xyz"))
    notes = (f"{name}: {beyond:,} coordinates beyond ±3.4e38 count as not measured.",) if beyond else ()
    with np.errstate(over="ignore", invalid="ignore"):  # colours that are no numbers
        rgb = _colours(table, names, grid)
    return Cloud(xyz=np.ascontiguousarray(xyz), rgb=rgb, notes=notes)


def _colours(table: NDArray[Any], names: list[str], grid: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Colours (H, W, 3) from red, green and blue or from one packed field."""
    if {"red", "green", "blue"} <= set(names):
        colours = np.stack([table[c].astype(np.float64) for c in ("red", "green", "blue")], axis=-1)
        scale = 255.0 if table.dtype["red"].kind == "f" and colours.max(initial=0.0) <= 1.0 else 1.0
        return np.clip(colours * scale, 0, 255).astype(np.uint8).reshape(*grid, 3)
    if "rgb" in names or "rgba" in names:
        packed = table["rgb" if "rgb" in names else "rgba"]
        bits = (
            packed.astype("<f4").view("<u4")
            if packed.dtype.itemsize == 4 and packed.dtype.kind == "f"
            else packed.astype(np.uint32)
        )
        if packed.dtype == np.float64:  # ASCII PCD writes the packed float as a number, or the integer itself
            whole = np.all(packed == np.floor(packed)) and packed.max(initial=0.0) >= 1.0
            bits = packed.astype(np.uint32) if whole else packed.astype("<f4").view("<u4")
        return np.stack([(bits >> s) & 255 for s in (16, 8, 0)], axis=-1).astype(np.uint8).reshape(*grid, 3)
    return None
