import numpy as np
import pytest

from core.errors import BadInput
from core.samples import Frame
from models.objects import FoundObject, MovingObjects, People, solid_box, suppress


def _street(seed=0):
    return np.random.default_rng(seed).integers(80, 100, (120, 200, 3), dtype=np.uint8)


def _iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@pytest.mark.parametrize("side", [200, 100])
def test_a_moving_square_is_found_in_original_pixels(side):
    moving = MovingObjects(side=side)
    found = ()
    for index in range(30):
        frame = _street(index % 3)
        x = 10 * index - 140
        if index > 15:
            frame[40:80, x : x + 30] = 230
        found = moving.update(frame)
    assert len(found) == 1
    assert _iou(found[0].box, (150, 40, 180, 80)) > 0.7
    assert found[0].label == "moving"
    assert 0 < found[0].score <= 1


def test_a_shadow_is_not_a_moving_object():
    moving = MovingObjects()
    for index in range(40):
        moving.update(_street(index % 5))
    shadow = _street(7)
    shadow[30:90, 40:120] = (shadow[30:90, 40:120] * 0.7).astype(np.uint8)
    assert moving.update(shadow) == ()


def test_a_still_scene_and_the_warm_up_have_no_boxes():
    moving = MovingObjects(warm_up=10)
    frames = [Frame(i, i / 10, _street(i % 3)) for i in range(25)]
    assert all(found == () for _, found in moving.stream(frames))


def test_another_size_is_refused():
    moving = MovingObjects()
    moving.update(_street())
    with pytest.raises(BadInput, match="one size"):
        moving.update(np.zeros((10, 10, 3), np.uint8))


def test_people_are_found_on_a_real_photo_and_not_in_noise():
    data = pytest.importorskip("skimage.data", reason="scikit-image's photos are a development extra")
    photo = data.astronaut()  # a portrait: no upright whole person
    assert all(found.score < 1.5 for found in People().detect(np.ascontiguousarray(photo)))
    assert People(threshold=1.0).detect(_street()) == ()


@pytest.mark.parametrize("size", [(1, 1), (30, 400), (127, 63), (129, 65)])
def test_people_in_odd_sizes(size):
    assert People().detect(np.zeros((*size, 3), np.uint8)) == ()


def test_suppress_keeps_the_surest_of_overlapping_boxes():
    sure = FoundObject((0, 0, 10, 20), 2.0, "person")
    same = FoundObject((2, 2, 9, 18), 1.0, "person")
    other = FoundObject((30, 0, 40, 20), 0.6, "person")
    assert suppress([other, same, sure]) == (sure, other)


def test_bad_values_are_refused():
    with pytest.raises(BadInput, match="history"):
        MovingObjects(history=0)
    with pytest.raises(BadInput, match="128"):
        People(side=64)


def _with_square(index, x, size=30):
    frame = _street(index % 3)
    if x is not None:
        frame[40 : 40 + size, x : x + size] = 230
    return frame


def test_a_learned_background_gives_boxes_from_the_first_frame_on():
    frames = [_with_square(index, 5 * index) for index in range(30)]
    moving = MovingObjects()
    moving.learn(frames[::3])
    assert [len(moving.update(frame)) for frame in frames[:3]] == [1, 1, 1]


def test_what_left_is_a_ghost_and_is_mended_while_what_was_put_down_stays():
    leaves = [_with_square(index, 60 if index < 20 else 60 + 12 * (index - 20)) for index in range(30)]
    moving = MovingObjects()
    moving.learn(leaves[:20])  # the square is background
    for index, frame in enumerate([*leaves, *(_with_square(index, None) for index in range(12))]):
        found = moving.update(frame)
        if index < 20:
            assert found == ()
    assert found == ()  # the empty place where it stood is no thing
    moving = MovingObjects()
    moving.learn([_with_square(index, None) for index in range(20)])
    for index in range(30):
        found = moving.update(_with_square(index, 60 if index > 5 else None))
    assert len(found) == 1
    assert _iou(found[0].box, (60, 40, 90, 70)) > 0.7


def test_learning_needs_frames_of_one_size():
    with pytest.raises(BadInput, match="one size"):
        MovingObjects().learn([])
    with pytest.raises(BadInput, match="one size"):
        MovingObjects().learn([_street(), np.zeros((10, 10, 3), np.uint8)])


def test_who_lies_on_a_carpet_that_slid_keeps_their_own_box():
    """A trunk, legs a third as thick, and the wrinkles of a carpet on all sides."""
    area = np.zeros((120, 200), bool)
    area[60:84, 60:110] = True
    area[66:75, 110:150] = True
    body = solid_box(area)[:4]
    assert body == (60, 60, 150, 84)
    for row in (62, 70, 80):
        area[row : row + 2, 5:195] = True
    area[5:115, 80:83] = True
    assert max(abs(a - b) for a, b in zip(solid_box(area)[:4], body, strict=True)) <= 4


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (3, 3), (2, 90)])
def test_the_box_of_something_tiny_or_thin_holds_all_of_it(height, width):
    assert solid_box(np.ones((height, width), bool)) == (0, 0, width, height, height * width)


def test_a_carpet_does_not_widen_a_body_but_an_upright_one_keeps_its_feet():
    moving, still = MovingObjects(side=200, warm_up=5), _street()
    for _ in range(8):
        moving.update(still)
    upright = still.copy()
    upright[20:90, 80:104] = upright[90:110, 82:85] = 230
    assert moving.update(upright)[0].box[3] >= 108
    lying = still.copy()
    lying[70:94, 60:110] = lying[72:75, 110:190] = 230
    assert moving.update(lying)[0].box[2] <= 116
