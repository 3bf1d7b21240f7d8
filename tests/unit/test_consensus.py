"""Consensus: patch search and Gaussians in one score, and what the planner makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from agent.planner import WHOLE_FROM, choose
from core.errors import BadInput
from core.samples import ImageSample
from readers.open import Source
from tools.image.consensus import Consensus
from tools.image.gaussian import Gaussian
from tools.image.patch_search import PatchSearch


def photo(number: int, *, hole: bool = False, tint: float = 1.0) -> ImageSample:
    rng = np.random.default_rng(number)
    pixels = np.indices((96, 128)).sum(0)[..., None] % 12 * 14 + rng.integers(0, 20, (96, 128, 3))
    if hole:
        pixels[30:50, 80:100] = 0
    return ImageSample(name=f"cloth {number}", pixels=(pixels * np.array([tint, 1.0, 1.0])).clip(0, 255).astype(np.uint8))


NORMAL = [photo(n) for n in range(10)]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def both() -> Consensus:
    return Consensus(side=96).fit(NORMAL)


def test_the_score_is_the_weighted_mean_of_both_in_usual_good_photos(both: Consensus) -> None:
    search, gaussian = PatchSearch(side=96).fit(NORMAL), Gaussian().fit(NORMAL)
    usual = np.median(search.reference_scores()), np.median(gaussian.reference_scores())
    test = [photo(20), photo(21, hole=True)]
    for near, far, score in zip(search.score(test), gaussian.score(test), both.score(test), strict=True):
        assert score.score == pytest.approx((near.score / usual[0] + 0.5 * far.score / usual[1]) / 1.5, rel=1e-5)
        assert np.allclose(score.heatmap, (near.heatmap / usual[0] + 0.5 * far.heatmap / usual[1]) / 1.5, rtol=1e-4)
    assert np.median(both.reference_scores()) == pytest.approx(1.0, abs=0.1)


def test_a_hole_and_a_tint_both_stand_out_of_held_out_photos(both: Consensus) -> None:
    top = float(both.reference_scores().max())
    good, torn, tinted = both.score([photo(20), photo(21, hole=True), photo(22, tint=0.7)])
    assert good.score < min(torn.score, tinted.score)
    assert torn.score > top
    assert tinted.score > top


def test_without_weight_it_is_the_patch_search() -> None:
    alone, search = Consensus(side=96, whole=0.0).fit(NORMAL[:3]), PatchSearch(side=96).fit(NORMAL[:3])
    usual = np.median(search.reference_scores())
    assert alone.score([photo(21, hole=True)])[0].score == pytest.approx(search.score([photo(21, hole=True)])[0].score / usual)


def test_one_photo_is_enough(both: Consensus) -> None:
    one = Consensus(side=96).fit(NORMAL[:1])
    assert len(one.reference_scores()) >= 2
    good, torn = one.score([photo(20), photo(21, hole=True)])
    assert good.score < torn.score


def test_a_region_can_be_learned_as_normal(both: Consensus) -> None:
    made = Consensus(side=96).fit(NORMAL)
    before = made.score([photo(21, hole=True)])[0].score
    assert made.learn(photo(23, hole=True), box=(78.0, 28.0, 102.0, 52.0)) > 0
    assert made.score([photo(21, hole=True)])[0].score < before


@pytest.mark.parametrize("whole", [-0.1, float("nan"), float("inf")])
def test_no_weight_below_zero(whole: float) -> None:
    with pytest.raises(BadInput, match="whole"):
        Consensus(whole=whole)


@pytest.mark.parametrize(("count", "wanted"), [(1, "patch_search"), (WHOLE_FROM - 1, "patch_search"), (WHOLE_FROM, "consensus")])
def test_the_planner_takes_it_from_nine_good_photos(count: int, wanted: str) -> None:
    good = Source(name="good", kind="image", samples=tuple(NORMAL[:1] * count), sha256="")
    call = choose(Source(name="parts", kind="image", samples=tuple(NORMAL), sha256=""), 0, (good,))
    assert call is not None
    assert call.detector == wanted
    assert f"{count} normal reference" in call.reason


def test_the_parts_of_a_score_say_whether_a_place_or_the_whole_is_odd(both: Consensus) -> None:
    good, torn, tinted = both.score([photo(20), photo(21, hole=True), photo(22, tint=0.7)])
    for score in (good, torn, tinted):
        assert sum(score.parts.values()) == pytest.approx(score.score - 1, abs=1e-5)
    assert torn.parts["place"] > torn.parts["whole"]
    assert tinted.parts["whole"] > good.parts["whole"] + 0.1
