"""Detectors on disk: one .npz with arrays and a JSON header, never pickle, written atomically."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

_HEADER = "__telltale__"


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds either the old bytes or all the new ones, never a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def save_arrays(path: Path, *, name: str, parameters: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]],
                state: Mapping[str, Any] | None = None) -> None:  # fmt: skip
    """Write a detector's `parameters`, JSON-able `state` and `arrays` to `path`."""
    import io

    header = json.dumps({"name": name, "parameters": dict(parameters), "state": dict(state or {})})
    buffer = io.BytesIO()
    packed = {_HEADER: np.frombuffer(header.encode(), dtype=np.uint8), **arrays}
    np.savez_compressed(buffer, allow_pickle=False, **packed)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())


def load_arrays(path: Path, *, name: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]], dict[str, Any]]:
    """Read (parameters, arrays, state) of the detector `name`.

    Raises:
        BadInput: the file is missing, damaged, or holds another detector.
    """
    try:
        with np.load(path, allow_pickle=False) as packed:
            arrays = {key: packed[key] for key in packed.files}
        header = json.loads(arrays.pop(_HEADER).tobytes().decode())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path.name!r}: expected a saved {name!r} detector, but it cannot be read ({error}).") from error
    if header["name"] != name:
        raise BadInput(f"{path.name!r}: expected a saved {name!r} detector, got a saved {header['name']!r}.")
    return header["parameters"], arrays, header["state"]


def restate(path: Path, target: Path, *, name: str, **changed: Any) -> None:
    """Write the saved detector `name` again with some constructor values changed, such as the device it runs on.

    Only for values that what was learned does not depend on.

    Raises:
        BadInput: the file is missing, damaged, or holds another detector; or it has no such constructor value.
    """
    parameters, arrays, state = load_arrays(path, name=name)
    if unknown := sorted(set(changed) - set(parameters)):
        raise BadInput(
            f"{path.name!r}: expected constructor values of {name!r} ({', '.join(sorted(parameters))}), got {unknown!r}."
        )
    save_arrays(target, name=name, parameters={**parameters, **changed}, arrays=arrays, state=state)
