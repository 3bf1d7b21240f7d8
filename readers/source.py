"""A source: what one dropped file or folder became, with the hash of its content, its facts and its notes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import BadInput
from core.samples import Kind, Sample
from readers.image import Photo
from readers.summary import summarise

_CHUNK = 1 << 20

KIND_WORDS: dict[Kind, str] = {
    "image": "a photo", "points": "a 3D scan", "video": "a video", "series": "a sensor series", "events": "an event log",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """One thing a person dropped in.

    `samples` all have the kind `kind`; photos and scans are decoded on access (their `samples.names` are known before). `sha256` is
    that of the content: of the file, or over the names and hashes of a folder's files. `summary` holds plain JSON facts (see
    `readers.summary`), `notes` sentences for the person.
    """

    name: str
    kind: Kind
    samples: Sequence[Sample]
    sha256: str
    summary: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def sample_names(self) -> tuple[str, ...]:
        """The names of its samples, in order; photos and scans are not decoded for them."""
        return tuple(getattr(self.samples, "names", None) or (sample.name for sample in self.samples))

    @property
    def key(self) -> str:
        """Identifies content *and* reading: other roles or another kind for the same bytes give another key (for result caches)."""
        reading = repr((self.sha256, self.kind, self.name, sorted(self.summary.get("roles", {}).items())))
        return hashlib.sha256(reading.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A file that was not opened, and why: one sentence that names it."""

    name: str
    message: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """Everything a drop led to."""

    sources: tuple[Source, ...]
    refused: tuple[Refusal, ...]


def make_source(name: str, samples: Sequence[Sample], sha256: str, notes: Sequence[str], photos: Sequence[Photo] = ()) -> Source:
    """Put a source together with its summary; notes that all samples share are the source's too."""
    kind: Kind = "image" if photos else samples[0].kind
    shared: list[str] = []
    if kind not in ("image", "points"):
        shared = [n for n in samples[0].notes if all(n in s.notes for s in samples)]
    return Source(
        name=name, kind=kind, samples=samples, sha256=sha256, summary=summarise(kind, samples, photos),
        notes=tuple(dict.fromkeys([*notes, *shared])),
    )  # fmt: skip


def wrong_kind(name: str, wanted: Kind, got: Kind | str) -> BadInput:
    """The error for a file of another kind than asked for."""
    found = next((words for kind, words in KIND_WORDS.items() if kind == got), got)
    return BadInput(f"{name}: expected {KIND_WORDS[wanted]}, got {found}.")


def left_out(messages: Sequence[str]) -> str:
    """One note about everything that was left out.

    >>> left_out(["a.png: empty.", "b.png: empty."])
    '2 files were left out, the first: a.png: empty.'
    """
    if len(messages) == 1:
        return f"Left out: {messages[0]}"
    return f"{len(messages)} files were left out, the first: {messages[0]}"


def first_problem(name: str, problems: Sequence[Refusal]) -> BadInput:
    """The error when nothing of a group could be opened."""
    if len(problems) == 1:
        return BadInput(problems[0].message)
    return BadInput(f"{name}: none of {len(problems)} files could be opened; the first problem: {problems[0].message}")


def sha256_file(path: Path) -> str:
    """Hash of a file's bytes, streamed."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_list(parts: Sequence[tuple[str, str]]) -> str:
    """Hash over names and hashes, in this order.

    >>> sha256_list([("a", "1")]) == sha256_list([("b", "1")])
    False
    """
    return hashlib.sha256("".join(f"{name}\0{sha}\n" for name, sha in parts).encode()).hexdigest()
