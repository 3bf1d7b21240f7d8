"""“That is normal here” on a photo: what was to be seen counts as normal wherever it lies, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from asking import SAMPLES, ask
from PIL import Image

from agent.examine.appearance import appearance_of, hot_part, kept_looks, looks_like, packed, read_looks, unpacked
from agent.rules.like_finding import condition_like, matches, replay
from agent.rules.wording import condition_words
from agent.session import Session
from core.errors import BadInput
from core.evidence import Anomaly, Evidence, Region
from core.scores import ImageScore

RNG = np.random.default_rng(7)
CLOTH = (np.indices((240, 240)).sum(0)[..., None] % 12 * 6 + RNG.integers(90, 130, (240, 240, 3))).astype(np.uint8)


def marked(
    row: int, column: int, colour: tuple[int, int, int], *, high: int = 40, wide: int = 40
) -> tuple[np.ndarray, np.ndarray]:
    """The cloth with a rectangle of a colour, and where that is."""
    pixels, hot = CLOTH.copy(), np.zeros(CLOTH.shape[:2], np.bool_)
    hot[row : row + high, column : column + wide] = True
    pixels[hot] = colour
    return pixels, hot


def seen(*where: object, turned: bool = False, **size: int) -> np.ndarray:
    return appearance_of(*marked(*where, **size), turned=turned)  # type: ignore[arg-type]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    opened = Session(home=tmp_path)
    yield opened
    opened.close()


def test_the_same_mark_is_known_again_elsewhere_and_turned_and_another_is_not() -> None:
    example = seen(40, 40, (200, 20, 20), high=30, wide=60, turned=True)
    assert looks_like(seen(150, 100, (200, 20, 20), high=30, wide=60), example)
    assert looks_like(seen(120, 60, (200, 20, 20), high=60, wide=30), example)
    assert not looks_like(seen(150, 100, (10, 10, 10), high=3, wide=120), example)


def test_a_scratch_beside_the_same_mark_is_still_told() -> None:
    example = seen(40, 40, (200, 20, 20), turned=True)
    pixels, hot = marked(150, 100, (200, 20, 20), high=60, wide=60)
    pixels[20:24, 20:200] = 0
    assert looks_like(appearance_of(pixels, hot), example)
    hot[20:24, 20:200] = True
    assert not looks_like(appearance_of(pixels, hot), example)


def test_what_passes_the_threshold_counts_beside_a_far_hotter_region() -> None:
    heat = np.zeros((40, 40), np.float32)
    heat[5:15, 5:15], heat[30:34, 30:34] = 1.0, 0.4
    score = ImageScore(sample="a", score=1.0, heatmap=heat)
    assert hot_part(score).sum() == 100
    assert hot_part(score, 0.3).sum() == 116


def test_nothing_to_be_seen_is_like_nothing() -> None:
    nothing = np.zeros((0, 5), np.int8)
    assert not looks_like(nothing, np.ones((3, 5), np.int8))
    assert not looks_like(np.ones((3, 5), np.int8), nothing)


def test_a_part_of_one_patch_is_seen_too() -> None:
    pixels, hot = marked(100, 100, (0, 0, 0), high=2, wide=2)
    assert len(appearance_of(pixels, hot)) >= 1


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    hot = RNG.random((7, 13)) > 0.5
    path = tmp_path / "kept.npz"
    path.write_bytes(kept_looks({2: (np.ones((3, 4), np.int8), hot)}))
    found = read_looks(path, range(5))
    assert list(found) == [2]
    assert np.array_equal(found[2][1], hot)
    assert np.array_equal(unpacked(packed(found[2][0])), found[2][0])


WHOLE = packed(np.ones((9, 5), np.int8))


@pytest.mark.parametrize("text", ["", "no base64!", "AAAA", WHOLE[: len(WHOLE) // 2 // 4 * 4]])
def test_a_damaged_example_is_said(text: str) -> None:
    with pytest.raises(BadInput, match="damaged"):
        unpacked(text)


def test_a_rule_by_looks_reaches_what_looks_alike_and_says_so() -> None:
    def stated(name: str) -> tuple[Anomaly, Evidence]:
        where = Region(sample=name, box=(0.0, 0.0, 9.0, 9.0), area_share=0.1)
        evidence = Evidence(
            id=name, tool="musc", version="1", parameters={}, source="parts", locus=where, facts={"width": 90, "height": 90}
        )
        return Anomaly(label="unusual region", source="parts", loci=(where,), severity=1, severity_score=20, confidence=0.5,
                       evidence=(name,)), evidence  # fmt: skip

    drop, scratch = seen(150, 100, (200, 20, 20)), seen(150, 100, (10, 10, 10), high=3, wide=120)
    condition = condition_like(*stated("a"), "image", example=seen(40, 40, (200, 20, 20), turned=True))
    assert condition.box is None
    assert "looks the same, wherever it lies" in condition_words(condition)
    assert matches(condition, *stated("b"), "image", seen=drop)
    assert not matches(condition, *stated("b"), "image", seen=scratch)
    assert not matches(condition, *stated("b"), "image")
    past = [(*stated(name), "image") for name in "bc"]
    assert [a.evidence for a in replay(condition, past, looks={"b": drop, "c": scratch})] == [("b",)]  # type: ignore[arg-type]


def test_a_stain_called_normal_is_no_longer_told_here_or_turned_on_the_next_batch(session: Session, tmp_path: Path) -> None:
    tiles = sorted((SAMPLES / "tiles").iterdir())
    first = ask(session, "what is wrong here?", files=tiles)
    assert [a.loci[0].sample for a in first.anomalies] == ["tile_07.jpg", "tile_04.jpg"]
    proposal = ask(session, "that is normal here").answer
    assert "looks the same, wherever it lies" in proposal
    assert "1 of the 2 past findings would have been normal" in proposal
    assert "Normal by your rules" in ask(session, "yes").answer
    assert [a.loci[0].sample for a in ask(session, "what is wrong here?").anomalies] == ["tile_04.jpg"]
    assert "tile_07" not in ask(session, "which tiles are damaged?").answer

    turned = tmp_path / "next"
    turned.mkdir()
    for tile in tiles:
        with Image.open(tile) as picture:
            picture.rotate(90 if "07" in tile.name else 0, expand=True).save(turned / tile.name, quality=95)
    later = Session(home=tmp_path)
    try:
        reply = ask(later, "what is wrong here?", files=sorted(turned.iterdir()))
    finally:
        later.close()
    assert [a.loci[0].sample for a in reply.anomalies] == ["tile_04.jpg"]
    assert "Normal by your rules" in reply.answer


def test_the_photo_may_be_gone_when_its_mark_is_called_normal(session: Session, tmp_path: Path) -> None:
    copies = []
    for tile in sorted((SAMPLES / "tiles").iterdir()):
        copies.append(tmp_path / tile.name)
        copies[-1].write_bytes(tile.read_bytes())
    ask(session, "what is wrong here?", files=copies)
    for copy in copies:
        copy.unlink()
    assert "looks the same" in ask(session, "that is normal here").answer
    ask(session, "yes")
    assert [a.loci[0].sample for a in ask(session, "what is wrong here?").anomalies] == ["tile_04.jpg"]
