"""What `telltale doctor` looks at: each check is one line with what was found and what to do when it is not well."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from core.errors import UserError

PACKAGES = (
    "torch", "torchvision", "timm", "transformers", "langgraph", "gradio", "numpy", "av", "polars",
    "duckdb", "scipy", "scikit-learn", "plotly",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line: `ok` False makes the exit code 2, `note` says what was found or what to do."""

    name: str
    ok: bool
    note: str


def checks() -> list[Check]:
    """Run every check."""
    found = [_python(), *(_package(name) for name in PACKAGES), _guarded("opencv", _opencv)]
    return [*found, *_weights(), _guarded("device", _device), _guarded("home folder", _home), _guarded("catalogue", _catalogue)]


def _python() -> Check:
    ok = sys.version_info >= (3, 11)
    return Check(name="python", ok=ok, note=sys.version.split()[0] + ("" if ok else ": 3.11 or newer is needed"))


def _package(name: str) -> Check:
    try:
        return Check(name=name, ok=True, note=version(name))
    except PackageNotFoundError:
        return Check(name=name, ok=False, note=f"not installed: pip install {name}")


def _opencv() -> str:
    import cv2

    return str(cv2.__version__)


def _weights() -> list[Check]:
    from core.weights import EMBEDDED, locate

    return [
        _guarded(weights.title, lambda weights=weights: f"verified, {weights.megabytes} MB, {locate(weights).name}")  # type: ignore[misc]
        for weights in EMBEDDED
    ]


def _device() -> str:
    from models.device import place

    placement = place()
    return f"{placement.device}, {str(placement.dtype).removeprefix('torch.')}: {placement.reason}"


def _home() -> str:
    from core.settings import home

    folder = home()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder):
        free = os.statvfs(folder) if hasattr(os, "statvfs") else None
    room = f", {free.f_bavail * free.f_frsize / 2**30:.1f} GB free" if free is not None else ""
    return f"{folder} is writable{room}"


def _catalogue() -> str:
    from tools.catalog import catalogue

    rows = catalogue()
    for name in rows:
        rows.detector_class(name)
    return f"{len(rows)} detectors load"


def _guarded(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name=name, ok=True, note=check())
    except UserError as error:
        return Check(name=name, ok=False, note=str(error))
    except (ImportError, OSError, AttributeError, RuntimeError) as error:
        return Check(name=name, ok=False, note=f"{type(error).__name__}: {error}")
