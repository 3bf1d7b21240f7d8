"""The same content given again must not count twice, and what cannot be read must be named once, in words that help."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from agent.evidence_store import EvidenceStore
from agent.workbench import Workbench
from core.errors import BadInput
from readers.open import open_path

THREAD = "chat"


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(EvidenceStore(tmp_path / "home"), THREAD)


def give(bench: Workbench, *paths: Path, role: str = "input") -> None:
    bench._store.add_uploads(THREAD, paths, role)


def photo(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").resize((40, 30)).rotate(seed).convert("RGB").save(path)
    return path


def series(path: Path, last: int = 9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("time,flow\n" + "\n".join(f"{i},{i % 5}" for i in range(40)) + f"\n40,{last}\n")
    return path


def copied(path: Path, to: Path) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(path, to))


def test_a_file_given_again_stays_one_source(bench: Workbench, tmp_path: Path) -> None:
    first = series(tmp_path / "a" / "pump.csv")
    give(bench, first)
    give(bench, copied(first, tmp_path / "b" / "pump.csv"))
    give(bench, copied(first, tmp_path / "c" / "renamed.csv"))
    give(bench, first)
    assert [source.name for source in bench.sources()] == ["pump.csv"]
    assert len(bench.missing()) == 1
    bench.run(bench.missing()[0])
    assert len(bench.investigations()) == 1


def test_another_file_of_the_same_name_and_size_is_another_source(bench: Workbench, tmp_path: Path) -> None:
    give(bench, series(tmp_path / "a" / "pump.csv", last=8))
    give(bench, series(tmp_path / "b" / "pump.csv", last=9))
    assert len(bench.sources()) == 2


def test_normal_photos_given_again_are_one_reference_each(bench: Workbench, tmp_path: Path) -> None:
    photos = [photo(tmp_path / "n" / f"{seed}.png", seed) for seed in (0, 30, 60)]
    give(bench, *photos, role="normal")
    again = [copied(path, tmp_path / "again" / path.name) for path in photos]
    give(bench, *again, photo(tmp_path / "again" / "new.png", 77), role="normal")
    assert sum(len(source.samples) for source in bench.sources("normal")) == 4


def test_a_photo_may_be_input_and_normal_at_once(bench: Workbench, tmp_path: Path) -> None:
    one = photo(tmp_path / "a.png")
    give(bench, one)
    give(bench, one, role="normal")
    assert len(bench.sources()) == len(bench.sources("normal")) == 1


def test_a_folder_given_again_elsewhere_stays_one_source(bench: Workbench, tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        series(tmp_path / "first" / name, last=len(name))
    (tmp_path / "first" / "two.csv").write_text("time,flow\n" + "\n".join(f"{i},{i % 7}" for i in range(30)))
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    give(bench, tmp_path / "first")
    give(bench, tmp_path / "second")
    assert len(bench.sources()) == 2  # its two files, once


def test_a_broken_file_given_again_is_refused_again(bench: Workbench, tmp_path: Path) -> None:
    broken, good = tmp_path / "broken.jpg", photo(tmp_path / "good.png")
    broken.write_bytes(b"no picture")
    give(bench, broken, good)
    assert [name for name, _ in bench.refused([broken, good])] == ["broken.jpg"]
    again = copied(broken, tmp_path / "again" / "other.jpg")
    give(bench, again)
    assert [(name, "other.jpg" in said) for name, said in bench.refused([again])] == [("other.jpg", True)]
    assert len(bench.sources()) == 1


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jpg", b"not a picture\n", "not a readable picture"),
        ("b.png", b"Not found. The picture has moved.\nAsk the one who sent it, or try again later.\n", "not a readable picture"),
        ("c.webp", bytes(range(1, 32)) * 40, "not a readable picture"),
        ("d.heic", HEIC, "export it as JPEG"),
        ("e.jpg", HEIC, "export it as JPEG"),
        ("f.heif", b"half a file", "not a readable picture"),
        ("g.csv", b"time,flow\n", "expected rows of data"),
    ],
)
def test_a_refusal_says_what_the_person_gave(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=said) as refused:
        open_path(tmp_path / name)
    assert str(refused.value).startswith(f"{name}: ")


def test_a_table_that_is_called_a_picture_is_still_read(tmp_path: Path) -> None:
    assert open_path(series(tmp_path / "pump.png")).kind == "series"
