"""Models from the Hugging Face hub on this machine: which are known, which are installed, and whether their files are the ones pulled.

An installed model is a folder `TELLTALE_HOME/models/<owner>--<name>` with a manifest that pins the commit and holds size and sha256 of
every file. Nothing is downloaded here (`models.chat.hub_pull` does that), and everything here works without a network.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from core.errors import BadInput, UnknownName
from core.settings import home
from core.weights import file_sha256

MANIFEST = "telltale.json"
ROOM_BYTES = 2**30
"""For pictures and the start of a conversation, beside the weights."""
SHARE = {"nf4": 0.4, "int8": 0.6}
"""Memory of a quantised model as a part of 16-bit weights: only linear layers are quantised, 77–91 % of the known models' weights, to
4.13 bits (nf4) or 8 (int8) each; that makes 0.32–0.43 and 0.54–0.61."""
UNQUANTISED = 0.2
"""The part that stays in the device's own format, mostly word embeddings."""
_REPO = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """A row of the catalogue."""

    name: str
    repo: str
    parameters: int
    licence: str
    use: str


@dataclass(frozen=True, kw_only=True)
class PulledFile:
    """A file of an installed model as it was verified when pulled."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class InstalledModel:
    """A model on this machine. `title` is its name for people: short name or repository."""

    title: str
    folder: Path
    repo: str
    revision: str
    licence: str
    files: tuple[PulledFile, ...]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.files)

    def missing(self) -> list[str]:
        """Names of files that are not there or have another size; quick, no hashing."""
        return [
            f.name for f in self.files if not (self.folder / f.name).is_file() or (self.folder / f.name).stat().st_size != f.size
        ]

    def to_json(self) -> dict[str, Any]:
        """The manifest."""
        return {
            "repo": self.repo, "revision": self.revision, "licence": self.licence, "files": [asdict(file) for file in self.files],
        }  # fmt: skip


@cache
def known_models() -> tuple[KnownModel, ...]:
    """The catalogue, in the order of the file.

    >>> [model.name for model in known_models()][:2]
    ['qwen3-vl-2b', 'qwen3-vl-4b']
    """
    text = (Path(__file__).parents[1] / "hub_models.toml").read_text(encoding="utf-8")
    return tuple(KnownModel(**row) for row in tomllib.loads(text)["model"])


@cache
def backbone_repos() -> dict[str, str]:
    """Repository of each backbone by name: networks that detectors search in, pulled like language models and never taken for one.

    >>> backbone_repos()["dinov2_vits14"]
    'timm/vit_small_patch14_dinov2.lvd142m'
    """
    text = (Path(__file__).parents[1] / "hub_models.toml").read_text(encoding="utf-8")
    return {row["name"]: row["repo"] for row in tomllib.loads(text)["backbone"]}


def memory_bytes(parameters: int, quantize: str | None = None) -> int:
    """Memory a model needs to answer: its weights in 16 bits, or quantised, and a GiB of room.

    On a CPU that multiplies no bf16 the weights are kept in 32 bits and take twice as much.

    >>> round(memory_bytes(2_127_532_032) / 1e9, 1), round(memory_bytes(2_127_532_032, "nf4") / 1e9, 1)
    (5.3, 2.8)
    """
    return round(2 * parameters * (SHARE[quantize] if quantize else 1)) + ROOM_BYTES


def models_folder() -> Path:
    """Where pulled models live."""
    return home() / "models"


def folder_of(repo: str) -> Path:
    """The folder of an installed repository.

    Raises:
        BadInput: `repo` is not "owner/name".
    """
    if not _REPO.fullmatch(repo) or ".." in repo:
        raise BadInput(f"model {repo!r}: expected a known name ({', '.join(m.name for m in known_models())}) or owner/name.")
    return models_folder() / repo.replace("/", "--")


def staging_of(repo: str) -> Path:
    """Where a repository's files gather until all of them are here."""
    return models_folder() / ".pulling" / folder_of(repo).name


def repo_of(name: str) -> str:
    """The repository a name means: a short name of the catalogue, or "owner/name" itself.

    Raises:
        UnknownName: neither.

    >>> repo_of("smolvlm2-500m"), repo_of("someone/some-vlm")
    ('HuggingFaceTB/SmolVLM2-500M-Video-Instruct', 'someone/some-vlm')
    """
    for model in known_models():
        if name.lower() in (model.name, model.repo.lower()):
            return model.repo
    if name.lower() in backbone_repos():
        return backbone_repos()[name.lower()]
    if _REPO.fullmatch(name) and ".." not in name:
        return name
    raise UnknownName.among("model", name, [model.name for model in known_models()])


def installed_models() -> list[InstalledModel]:
    """Every installed language model with a readable manifest, by title."""
    folder = models_folder()
    found = [read_manifest(path.parent) for path in folder.glob(f"*/{MANIFEST}")] if folder.is_dir() else []
    backbones = set(backbone_repos().values())
    return sorted((model for model in found if model is not None and model.repo not in backbones), key=lambda model: model.title)


def read_manifest(folder: Path) -> InstalledModel | None:
    """The installed model in `folder`, None where there is none.

    Raises:
        BadInput: the manifest is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        row: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        titles = {repo: name for name, repo in backbone_repos().items()} | {model.repo: model.name for model in known_models()}
        return InstalledModel(
            title=titles.get(row["repo"], row["repo"]), folder=folder, repo=row["repo"], revision=row["revision"],
            licence=row["licence"], files=tuple(PulledFile(**file) for file in row["files"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"the manifest {str(path)!r} is damaged ({error}); delete its folder and pull the model again.") from error


def find_model(name: str) -> tuple[str, Path]:
    """Title and folder of a model by short name, "owner/name" or path; nothing is hashed yet.

    Raises:
        UnknownName: not installed; the message says how to get it.
        BadInput: files of an installed model are missing or cut off.
    """
    try:
        repo = repo_of(name)
    except UnknownName:
        repo = ""
    model = read_manifest(folder_of(repo)) if repo else None
    if model is not None:
        if gone := model.missing():
            again = f"Pull it again: telltale models pull {model.title}"
            raise BadInput(f"model {model.title!r} is incomplete ({', '.join(gone[:3])}). {again}")
        return model.title, model.folder
    if Path(name).is_dir():
        return Path(name).resolve().name, Path(name).resolve()
    have = ", ".join(model.title for model in installed_models()) or "none"
    if repo:
        raise UnknownName(f"Model {name!r} is not installed. Get it with: telltale models pull {name} (installed: {have}).")
    names = sorted({model.name for model in known_models()} | {model.title for model in installed_models()})
    raise UnknownName.among("model", name, names)


def verify(folder: Path) -> None:
    """Make sure that an installed model's files are the ones that were pulled, byte for byte; a folder without manifest passes.

    Raises:
        BadInput: a file is missing, altered or was added; the message names it.
    """
    model = read_manifest(folder)
    if model is None:
        return
    again = f"Pull it again: telltale models pull {model.title}"
    for file in model.files:
        path = folder / file.name
        if not path.is_file():
            raise BadInput(f"{file.name!r} of model {model.title!r} is missing. {again}")
        found = file_sha256(path)
        if found != file.sha256:
            raise BadInput(
                f"{file.name!r} of model {model.title!r} is damaged or altered: expected sha256 {file.sha256[:12]}…, "
                f"got {found[:12]}…. {again}"
            )
    if strange := sorted({path.name for path in folder.iterdir()} - {file.name for file in model.files} - {MANIFEST}):
        raise BadInput(f"model {model.title!r} has files that were not pulled ({', '.join(strange[:3])}). {again}")
