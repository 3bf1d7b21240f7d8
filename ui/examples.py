"""The bundled samples, each with a question worth asking; shown on the empty page and used by `make demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


@dataclass(frozen=True, kw_only=True)
class Example:
    """A clickable example: what the card says, what is asked, about which files, with which normal references."""

    title: str
    question: str
    files: tuple[Path, ...]
    normal: tuple[Path, ...] = ()


def examples(folder: Path = SAMPLES) -> list[Example]:
    """The examples whose files are there."""
    tiles = _pictures(folder / "tiles")
    found = [
        Example(title="Which of these tiles are damaged, and where?", question="Which of these tiles are damaged, and where?",
                files=tiles, normal=_pictures(folder / "tiles_normal")),
        Example(title="When does something unusual happen at this crossing?", question="When does something unusual happen?",
                files=(folder / "crossing.mp4",)),
        Example(title="What went wrong with this pump, and which sensor shows it?",
                question="What went wrong, when, and which sensor shows it?", files=(folder / "pump.csv",)),
        Example(title="Which process on this workstation looks malicious?",
                question="Which process looks malicious and what did it do?", files=(folder / "workstation.jsonl",)),
    ]  # fmt: skip
    return [example for example in found if example.files and all(path.is_file() for path in example.files)]


def _pictures(folder: Path) -> tuple[Path, ...]:
    endings = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
    return tuple(sorted(path for path in folder.glob("*") if path.suffix.lower() in endings))
