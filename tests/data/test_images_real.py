"""Photo detectors on real photos: do they find what is broken, and where?"""

import os
import pathlib

import numpy as np
import pytest

DATA = pathlib.Path(os.environ.get("TELLTALE_DATA", pathlib.Path(__file__).parents[3] / "shared" / "data"))


def needs(name):
    return pytest.mark.skipif(not (DATA / name).is_dir(), reason=f"real data set {name} not found under TELLTALE_DATA")


def load(name, every):
    from benchmarks.datasets import picture_set

    listing = picture_set(DATA, name, every=every)
    test = listing.tests()
    return listing, listing.normals(), test, [listing.truth(index, *sample.size) for index, sample in enumerate(test)]


def measure(listing, truths, scores):
    from metrics.pro import pro
    from metrics.ranking import auroc

    ranked = auroc(listing.labels, np.array([score.score for score in scores]))
    return ranked, pro(truths, [score.heatmap for score in scores])


@pytest.mark.data
@needs("mvtec_bottle")
def test_broken_bottles_are_told_from_good_ones():
    from core.calibrate import from_reference
    from tools.image.patch_search import PatchSearch

    listing, normal, test, truths = load("mvtec_bottle", every=6)
    search = PatchSearch(bank=3000).fit(normal)
    scores = search.score(test)
    image_auroc, overlap = measure(listing, truths, scores)
    assert image_auroc > 0.97
    assert overlap > 0.85
    called = np.array([s.score for s in scores]) > from_reference(search.reference_scores()).threshold
    assert called[listing.labels == 1].mean() > 0.9
    assert called[listing.labels == 0].mean() < 0.3


@pytest.mark.data
@needs("mvtec_bottle")
def test_one_good_bottle_is_enough():
    from tools.image.patch_search import PatchSearch

    listing, normal, test, truths = load("mvtec_bottle", every=8)
    image_auroc, overlap = measure(listing, truths, PatchSearch(bank=3000).fit(normal[:1]).score(test))
    assert image_auroc > 0.9
    assert overlap > 0.85


@pytest.mark.data
@needs("mvtec_bottle")
def test_ten_unlabelled_bottles_of_which_three_are_broken():
    from benchmarks.datasets import picture_set, read_picture
    from tools.image.musc import MuSc

    listing = picture_set(DATA, "mvtec_bottle")
    broken = [path for path, kind in zip(listing.test, listing.kinds, strict=True) if kind == "broken_large"][:3]
    scores = MuSc().score([read_picture(path) for path in (*listing.train[:7], *broken)])
    assert set(np.argsort([s.score for s in scores])[-3:].tolist()) == {7, 8, 9}


@pytest.mark.data
@needs("mvtec_bottle")
def test_a_broken_bottle_alone_points_at_the_break():
    from metrics.ranking import auroc
    from tools.image.intrinsic import Intrinsic

    listing, _normal, test, truths = load("mvtec_bottle", every=10)
    odd = [index for index, kind in enumerate(listing.kinds) if kind]
    scores = Intrinsic().score([test[index] for index in odd])
    areas = [auroc(truths[index], score.heatmap) for index, score in zip(odd, scores, strict=True)]
    assert np.mean(areas) > 0.85


@pytest.mark.data
@needs("magnetic_tile")
def test_tiles_of_many_sizes_and_exposures():
    from tools.image.patch_search import PatchSearch

    listing, normal, test, truths = load("magnetic_tile", every=4)
    assert len({sample.size for sample in test}) > 10
    image_auroc, overlap = measure(listing, truths, PatchSearch(bank=3000).fit(normal).score(test))
    assert image_auroc > 0.7
    assert overlap > 0.55


@pytest.mark.data
@needs("hazelnut_toy")
def test_painted_hazelnuts_by_their_pixels():
    from tools.image.patch_search import PatchSearch

    listing, normal, test, truths = load("hazelnut_toy", every=3)
    image_auroc, overlap = measure(listing, truths, PatchSearch(bank=3000, augment=False).fit(normal).score(test))
    assert image_auroc > 0.9
    assert overlap > 0.85
