"""`telltale models list | pull | adapt | relate`: the models Telltale runs, what they need, how they get here, what is learned for them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import BadInput, UserError

models_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The models Telltale runs.")


@models_app.command("list")
def models_list(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """List the embedded weights and the language models: installed or not, size, memory, licence.

    Memory is that of 16-bit weights with 1 GiB of room, in brackets with quantize='nf4'; a CPU without bf16 needs twice the weights.
    """
    rows = [*_embedded(), *_hub(), *_backbones()]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    from ui.tables import print_table

    print_table(
        ("model", "here", "size", "memory", "licence", "note"),
        [(r["title"], _state(r), _size(r), _memory(r), r["licence"], r["note"]) for r in rows],
    )


@models_app.command("pull")
def models_pull(
    name: Annotated[str, typer.Argument(help="A name of `telltale models list`, or owner/name of the Hugging Face hub.")],
    revision: Annotated[str | None, typer.Option(help="Commit, branch or tag; its commit is pinned.")] = None,
) -> None:
    """Download a language model, or go on where a download stopped; every file is verified.

    Only safetensors weights, settings and vocabularies are taken. An installed model that is whole is left as it is.
    """
    from core.progress import watching
    from models.chat.hub_pull import pull
    from ui.terminal import clear_progress, print_progress

    try:
        with watching(print_progress):
            model = pull(name, revision=revision)
    finally:
        clear_progress()
    print(
        f"{model.title}: {len(model.files)} files, {_gigabytes(model.size)}, verified, commit {model.revision[:12]}, "
        f"licence {model.licence}. {_how_to_use(model.title)}",
        file=sys.stderr,
    )


def _how_to_use(title: str) -> str:
    from models.chat.hub import backbone_repos

    if title in backbone_repos():
        return f"Use it with: telltale detect patch_search … --set backbone={title}"
    return f"Use it with --model local:{title}"


@models_app.command("adapt")
def models_adapt(
    name: Annotated[str, typer.Argument(help="An installed language model, or the path of its folder.")],
    normal: Annotated[list[Path], typer.Option(help="Photos of good parts: files or folders, at least four photos.")],
    product: Annotated[str, typer.Option(help="What the photos show, in a word: bottle.")] = "surface",
    photos: Annotated[int, typer.Option(min=4, help="Photos with simulated defects to learn from.")] = 96,
    epochs: Annotated[int, typer.Option(min=1, help="How often the model goes through them.")] = 10,
) -> None:
    """Train an anomaly adapter: the local model is then given a map of what deviates when it words an answer about photos.

    Defects are simulated on the photos of good parts; the model itself is not changed. Takes a GPU for models worth using. An adapter
    of the same model is replaced; remove its folder to go on without.
    """
    from core.progress import watching
    from core.settings import home
    from models.anomaly_adapter.store import adapter_folder, save
    from models.chat.hub import find_model
    from models.chat.vlm_loading import check_folder, load_vlm
    from tools.image.adapter_training import Effort, train_adapter
    from ui.terminal import clear_progress, print_progress

    title, folder = find_model(name)
    check_folder(folder)
    good = _photos(normal)
    try:
        with watching(print_progress):
            trained = train_adapter(load_vlm(folder), good, name=product, effort=Effort(photos=photos, epochs=epochs))
    finally:
        clear_progress()
    kept = adapter_folder(home(), folder)
    save(trained.adapter, kept)
    print(
        f"Adapter for {title} from {len(good)} photos of good parts: loss per word {trained.first_loss:.2f} at first, "
        f"{trained.last_loss:.2f} at last. Kept in {kept}; --model local:{title} uses it from now on.",
        file=sys.stderr,
    )


@models_app.command("relate")
def models_relate(
    name: Annotated[str, typer.Argument(help="An installed language model, or the path of its folder.")],
    clips: Annotated[list[Path], typer.Argument(help="Videos to learn from, normal or not, of cameras that stand still.")],
    steps: Annotated[int, typer.Option(min=1, help="Steps in which intervals are told from one another, at most.")] = 200,
    epochs: Annotated[int, typer.Option(min=1, help="How often the model goes through the intervals.")] = 10,
) -> None:
    """Train a relation encoder: the local model is then shown how people and things move to each other around an event.

    Nothing needs to be labelled, and the model itself is not changed. Takes a GPU for models worth using, and many clips: a few are only
    learned by heart. An encoder of the same model is replaced; remove relations.* in its folder to go on without.
    """
    from core.progress import watching
    from core.settings import home
    from models.anomaly_adapter.store import adapter_folder
    from models.chat.hub import find_model
    from models.chat.vlm_loading import check_folder, load_vlm
    from models.relation_adapter import save
    from tools.video.relation_training import Effort, train_adapter
    from ui.terminal import clear_progress, print_progress

    title, folder = find_model(name)
    check_folder(folder)
    videos = list(_samples(clips, "video", "videos"))
    try:
        with watching(print_progress):
            adapter, losses = train_adapter(load_vlm(folder), videos, effort=Effort(steps=steps, epochs=epochs))
    finally:
        clear_progress()
    kept = adapter_folder(home(), folder)
    save(adapter, kept)
    print(
        f"Relation encoder for {title} from {len(videos)} videos: loss per word {losses[0]:.2f} at first, {losses[-1]:.2f} at last. "
        f"Kept in {kept}; --model local:{title} uses it from now on.",
        file=sys.stderr,
    )


MOST_GOOD = 64
"""Photos of good parts that are read for an adapter."""


def _photos(paths: list[Path]) -> list[Any]:
    """The pixels of the first photos among files and folders.

    Raises:
        BadInput: something else is among them.
    """
    from itertools import islice

    return [sample.pixels for sample in islice(_samples(paths, "image", "photos of good parts"), MOST_GOOD)]


def _samples(paths: list[Path], kind: str, expected: str) -> Iterator[Any]:
    """The samples of files and folders that all hold data of one kind.

    Raises:
        BadInput: something else is among them.
    """
    from readers.open import open_all

    opened = open_all(paths)
    for refusal in opened.refused:
        raise BadInput(refusal.message)
    for source in opened.sources:
        if source.kind != kind:
            raise BadInput(f"{source.name!r} was read as {source.kind}: expected {expected}.")
    for source in opened.sources:
        yield from source.samples


def _embedded() -> list[dict[str, Any]]:
    """The weights that come with packages."""
    from core.weights import EMBEDDED, locate

    rows = []
    for weights in EMBEDDED:
        try:
            locate(weights)
            verified, note = True, f"comes with {weights.distribution}"
        except UserError as error:
            verified, note = False, str(error)
        rows.append({
            "name": weights.distribution, "title": weights.title, "kind": "embedded", "installed": verified, "verified": verified,
            "megabytes": weights.megabytes, "licence": weights.licence, "note": note,
        })  # fmt: skip
    return rows


def _backbones() -> list[dict[str, Any]]:
    """Networks that photo detectors can search in instead of the embedded one."""
    from models.backbone_weights import known_backbones
    from models.chat.hub import folder_of, memory_bytes, read_manifest

    rows: list[dict[str, Any]] = []
    for known in known_backbones():
        row: dict[str, Any] = {
            "name": known.name, "title": known.name, "kind": "backbone", "repo": known.repo, "installed": False, "verified": False,
            "megabytes": None, "parameters": known.parameters, "memory_gb": round(memory_bytes(known.parameters) / 1e9, 1),
            "memory_nf4_gb": None, "licence": known.licence, "note": known.use,
        }  # fmt: skip
        try:
            model = read_manifest(folder_of(known.repo))
        except BadInput as error:
            row["note"] = str(error)
        else:
            row |= _installed(model) if model is not None else {}
        rows.append(row)
    return rows


def _hub() -> list[dict[str, Any]]:
    """The language models: those of the catalogue in its order, then what else is installed."""
    from models.chat.hub import (
        ROOM_BYTES,
        folder_of,
        installed_models,
        known_models,
        memory_bytes,
        read_manifest,
        staging_of,
    )

    rows: list[dict[str, Any]] = []
    for known in known_models():
        row: dict[str, Any] = {
            "name": known.name, "title": known.name, "kind": "hub", "repo": known.repo, "installed": False, "verified": False,
            "megabytes": None, "parameters": known.parameters, "memory_gb": round(memory_bytes(known.parameters) / 1e9, 1),
            "memory_nf4_gb": round(memory_bytes(known.parameters, "nf4") / 1e9, 1), "licence": known.licence, "note": known.use,
        }  # fmt: skip
        try:
            model = read_manifest(folder_of(known.repo))
        except BadInput as error:
            row["note"] = str(error)
        else:
            row |= _installed(model) if model is not None else {}
            if model is None and any(staging_of(known.repo).glob("*")):
                row["note"] = f"partly here; go on with: telltale models pull {known.name}"
        rows.append(row)
    repos = {known.repo for known in known_models()}
    for other in installed_models():
        if other.repo not in repos:
            weights = sum(file.size for file in other.files if file.name.endswith(".safetensors"))
            row = {"name": other.repo, "title": other.repo, "kind": "hub", "repo": other.repo, "parameters": None}
            row |= {"memory_gb": round((weights + ROOM_BYTES) / 1e9, 1), "memory_nf4_gb": None, "note": "", **_installed(other)}
            rows.append(row)
    return rows


def _installed(model: Any) -> dict[str, Any]:
    """What a manifest adds; sizes are looked at here, hashes when the model is loaded."""
    missing = model.missing()
    row = {
        "installed": True, "verified": not missing, "megabytes": round(model.size / 1e6, 1), "licence": model.licence,
        "revision": model.revision,
    }  # fmt: skip
    return row | ({"note": f"damaged: {', '.join(missing[:3])}; telltale models pull {model.title}"} if missing else {})


def _state(row: dict[str, Any]) -> str:
    if not row["installed"]:
        return "no"
    return "yes" if row["verified"] else "NO"


def _size(row: dict[str, Any]) -> str:
    if row["megabytes"] is None:
        millions = row["parameters"] / 1e6
        return f"{millions / 1e3:.1f} B parameters" if millions >= 200 else f"{millions:.0f} M parameters"
    return _gigabytes(row["megabytes"] * 10**6)


def _memory(row: dict[str, Any]) -> str:
    if "memory_gb" not in row:
        return ""
    quantised = f" ({row['memory_nf4_gb']:.1f})" if row["memory_nf4_gb"] else ""
    return f"{row['memory_gb']:.1f}{quantised} GB"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
