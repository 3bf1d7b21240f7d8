"""Backbones by name: which network a name means, and where its weights lie on this machine. Nothing is downloaded here.

A name is a row `[[backbone]]` of `hub_models.toml`, an "owner/name" of the hub that was pulled, or the path of a folder. Weights are
safetensors (no pickles): `TELLTALE_HOME/models/<owner>--<name>` as `telltale models pull` leaves it, verified against its manifest,
or a folder with one file of weights and, unless it is called like a known backbone, timm's `config.json`, which names
the architecture, how it was changed (`model_args`) and the normalisation.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from core.errors import BadInput

EMBEDDED = "efficientnet_lite0"
"""The network that comes with the installation; it is no row of the catalogue."""
NORMALISATIONS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}
"""Mean and standard deviation of (R, G, B) in 0–1, by which a network expects its input to be normalised."""
WEIGHT_FILES = ("model.safetensors", "open_clip_model.safetensors")
"""Taken in this order where a folder holds several files of weights; timm's own reads both layouts of CLIP."""


@dataclass(frozen=True, kw_only=True)
class KnownBackbone:
    """A row of the catalogue."""

    name: str
    repo: str
    architecture: str
    """timm's name. The hub's own config.json of CLIP names one without QuickGELU, with which its features are others."""
    parameters: int
    licence: str
    use: str
    patch: int
    blocks: tuple[int, ...]
    final_norm: bool
    normalisation: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is needed to build a backbone but its weights. `model_args` go to timm; `mean` and `std` are of (R, G, B) in 0–1."""

    title: str
    architecture: str
    model_args: tuple[tuple[str, Any], ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    blocks: tuple[int, ...]
    final_norm: bool


@cache
def known_backbones() -> tuple[KnownBackbone, ...]:
    """The catalogue, in the order of the file.

    >>> [row.name for row in known_backbones()][:2]
    ['dinov2_vits14', 'dinov2_vits14_reg']
    """
    text = (Path(__file__).parent / "hub_models.toml").read_text(encoding="utf-8")
    return tuple(KnownBackbone(**{**row, "blocks": tuple(row["blocks"])}) for row in tomllib.loads(text)["backbone"])


def known(name: str) -> KnownBackbone | None:
    """The catalogue's row of this name, None where there is none.

    >>> known("dino_vitb8").patch
    8
    """
    return next((row for row in known_backbones() if row.name == name), None)


def check_name(name: str) -> None:
    """Refuse what can be no backbone, without looking for weights: a short name that is not in the catalogue.

    Raises:
        BadInput: neither the embedded network, nor a known name, nor "owner/name" or the path of a folder.
    """
    if name == EMBEDDED or known(name) is not None or "/" in name or Path(name).is_dir():
        return
    names = ", ".join((EMBEDDED, *(row.name for row in known_backbones())))
    raise BadInput(f"backbone {name!r}: expected one of {names}; or owner/name of a pulled model; or the path of a folder.")


def recipe(name: str) -> Recipe:
    """How to build the backbone `name`; a known one needs no weights for this, another one its folder.

    Raises:
        BadInput: no such folder here (the message says how to fetch it), or its config.json is missing or damaged.
    """
    row = known(name) or known(Path(name).name)
    if row is not None and (known(name) is not None or not (Path(name) / "config.json").is_file()):
        mean, std = NORMALISATIONS[row.normalisation]
        return Recipe(
            title=row.name, architecture=row.architecture, model_args=(), mean=mean, std=std, blocks=row.blocks,
            final_norm=row.final_norm,
        )  # fmt: skip
    return _recipe_of(folder_of_weights(name), name)


def _recipe_of(folder: Path, name: str) -> Recipe:
    path = folder / "config.json"
    try:
        row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        settings: dict[str, Any] = row.get("pretrained_cfg", row)
        mean, std = NORMALISATIONS["imagenet"]
        return Recipe(
            title=name,
            architecture=str(row["architecture"]),
            model_args=tuple(
                (key, tuple(value) if isinstance(value, list) else value) for key, value in row.get("model_args", {}).items()
            ),
            mean=tuple(float(v) for v in settings.get("mean", mean)),
            std=tuple(float(v) for v in settings.get("std", std)),
            blocks=(-1,),
            final_norm=True,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"backbone {name!r}: expected {str(path)!r} as timm writes it, naming an architecture, but it cannot be read ({error}). "
            f"Or call the folder like a known backbone ({', '.join(row.name for row in known_backbones()[:2])}, …)."
        ) from error


def folder_of_weights(name: str) -> Path:
    """The folder with the weights of the backbone `name`; nothing is hashed yet.

    Raises:
        BadInput: they are not on this machine, or files of a pulled model are missing.
    """
    from models.chat.hub import _REPO, folder_of, models_folder, read_manifest

    row = known(name)
    repo = row.repo if row is not None else name
    pulled = folder_of(repo) if _REPO.fullmatch(repo) and ".." not in repo else None
    model = read_manifest(pulled) if pulled is not None else None
    if model is not None:
        if gone := model.missing():
            raise BadInput(f"backbone {name!r} is incomplete ({', '.join(gone[:3])}). Pull it again: telltale models pull {repo}")
        return model.folder
    folders = [models_folder() / name] if row is not None else [Path(name).expanduser()]
    for folder in folders:
        if folder.is_dir():
            return folder
    if pulled is None:
        raise BadInput(f"backbone {name!r}: there is no such folder.")
    if row is None:
        raise BadInput(
            f"backbone {name!r} is not on this machine. Fetch it with: telltale models pull {repo}; or give the path of a folder."
        )
    raise BadInput(
        f"the weights of backbone {name!r} are not on this machine. Fetch them with: telltale models pull {repo} "
        f"({4 * row.parameters / 1e9:.1f} GB, {row.licence}); or put their safetensors into {str(models_folder() / name)!r}."
    )


def weight_file(name: str) -> Path:
    """The file of weights of the backbone `name`; every byte of a pulled one is checked against its manifest.

    Raises:
        BadInput: as `folder_of_weights`; or no or several safetensors; or a pulled file was altered.
    """
    from models.chat.hub import verify

    folder = folder_of_weights(name)
    verify(folder)
    for usual in WEIGHT_FILES:
        if (folder / usual).is_file():
            return folder / usual
    found = sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        there = ", ".join(path.name for path in found) or "none"
        raise BadInput(
            f"backbone {name!r}: expected one file of safetensors in {str(folder)!r}, got {there}; pickles are not read."
        )
    return found[0]
