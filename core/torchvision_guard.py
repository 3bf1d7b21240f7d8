"""Lets torchvision's CUDA wheel be imported beside a CPU build of torch.

PyPI's torchvision is compiled against CUDA. Beside a CPU torch its C++ operators do not load, and its Python part then fails
at import because it registers fakes for `torchvision::nms` and `torchvision::qnms`, which nobody declared. Declaring the two
schemas first is enough: transforms, models and processors work; `torchvision.ops.nms` and `torchvision.io` stay unavailable.
The import hook does this only when torchvision is really imported, torch is a CPU build and torchvision's wheel is a CUDA one.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library: Any = None  # keeps the operator schemas registered for the life of the process


def _declare_operators() -> None:
    """Declare torchvision's operator schemas when its own C++ library can not."""
    global _library
    import torch

    if _library is not None or torch.version.cuda is not None:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        try:
            library.define(schema)
        except RuntimeError:  # a torchvision that brings its own operators has declared it already
            continue
    _library = library


class _TorchvisionFinder(importlib.abc.MetaPathFinder):
    """Runs once, just before torchvision's own import, then steps aside."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "torchvision":
            return None
        sys.meta_path.remove(self)
        try:
            if "+cu" in _torchvision_build():
                _declare_operators()
        except PackageNotFoundError:
            pass  # torchvision is not installed: let the ordinary import say so
        return importlib.util.find_spec(fullname)


def _torchvision_build() -> str:
    """The build tag of the installed torchvision, e.g. "0.28.0+cu130", read without importing it."""
    spec = importlib.util.find_spec("torchvision")
    if spec is not None and spec.origin is not None:
        from pathlib import Path

        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
        for line in text.splitlines():
            if line.startswith("__version__"):
                return line.split("=")[1].strip().strip("'\"")
    return version("torchvision")


def arm() -> None:
    """Install the hook, once, unless torchvision is already there."""
    if "torchvision" not in sys.modules and not any(isinstance(f, _TorchvisionFinder) for f in sys.meta_path):
        sys.meta_path.insert(0, _TorchvisionFinder())
