"""Concept matching: words find the pictures they name."""

import numpy as np
import pytest
from skimage import data

from core.errors import BadInput
from models.vision_concepts import class_names, describe, match, project, seek


@pytest.fixture(scope="module")
def pictures():
    return [data.chelsea(), data.coffee(), data.rocket()]  # a cat, a cup of coffee, a rocket: bundled with scikit-image


def test_class_names_are_those_of_the_network():
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    assert list(class_names()) == [info.index_to_description(i, detailed=False) for i in range(1000)]


def test_describe_names_what_is_there(pictures):
    first = [concepts[0] for concepts in describe(pictures)]
    assert [c.name for c in first[:2]] == ["Egyptian cat", "espresso"]
    assert all(0 < c.probability <= 1 for c in first)
    assert [len(c) for c in describe(pictures[:1], top=7)] == [7]


def test_phrases_find_their_pictures(pictures):
    similarities = match(pictures, ["a kitten", "a hot drink", "a spacecraft launch"])
    assert similarities.shape == (3, 3)
    assert similarities.dtype == np.float32
    assert similarities.argmax(axis=0).tolist() == [0, 1, 2]


def test_a_certain_class_is_its_own_name():
    from models.text import embed

    certain = np.zeros((1, 1000), np.float32)
    certain[0, 1] = 1.0
    assert float(project(certain)[0] @ embed([class_names()[1]])[0]) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("top", [0, 1001])
def test_top_has_bounds(pictures, top):
    with pytest.raises(BadInput, match="1 to 1000"):
        describe(pictures, top=top)


def test_no_picture_is_refused():
    with pytest.raises(BadInput, match="at least one picture"):
        match([], ["a"])


def test_seek_finds_a_thing_and_doubts_another(pictures):
    kitten = seek(pictures, "kitten")
    assert kitten.best == 0
    assert kitten.clear
    assert len(kitten.similarity) == 3
    bicycle = seek(pictures, "bicycle")
    assert not bicycle.clear
    assert bicycle.rank == 1 + len(bicycle.sooner)


def test_seek_keeps_to_the_pictures_asked_about(pictures):
    assert seek(pictures, "kitten", among=[1, 2]).best in (1, 2)
    assert not seek(pictures, "kitten", among=[2]).clear


def test_another_word_for_the_same_thing_is_no_rival(pictures):
    assert "cat" not in seek(pictures, "cats").sooner
