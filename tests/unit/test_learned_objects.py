"""Learned object detectors: a YOLOX-style network written here as ONNX, and a small RT-DETR of transformers."""

import numpy as np
import pytest

from core.errors import BadInput, UnknownName
from core.samples import VideoClip
from models.learned_objects import COCO, HubObjects, OnnxObjects, decoded, letterbox, open_detector
from tools.video.track_finder import find_tracks
from tools.video.track_objects import LearnedObjects, finder_in_use, labels_in_use

pytestmark = pytest.mark.usefixtures("one_thread")
SIDE = 96
CAR, PERSON = COCO.index("car"), COCO.index("person")


def write_detector(path, *, classes=80, side=SIDE, raw=True):
    """A network that sees red squares as cars and blue ones as people: objectness is how much a cell is red or blue.

    Cells look at the mean of their own pixels; centres are their middle, sizes twice the stride (raw: offsets and logarithms).
    """
    from onnx import TensorProto, checker, helper, numpy_helper, save

    weights = np.zeros((5 + classes, 3, 1, 1), np.float32)
    bias = np.zeros(5 + classes, np.float32)
    bias[:2] = 0.5
    bias[2:4] = np.log(2.0)
    weights[4, :, 0, 0] = [0.05, -0.12, 0.05]  # BGR: blue or red, not grey
    bias[4] = -6.0
    weights[5 + PERSON, 0, 0, 0], weights[5 + CAR if classes > CAR else 5, 2, 0, 0] = 0.05, 0.05
    bias[5:] = -6.0
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")]
    nodes, parts = [], []
    for stride in (8, 16, 32):
        n = (side // stride) ** 2
        constants.append(numpy_helper.from_array(np.array([1, 5 + classes, n], np.int64), f"shape{stride}"))
        nodes += [
            helper.make_node("AveragePool", ["images"], [f"p{stride}"], kernel_shape=[stride] * 2, strides=[stride] * 2),
            helper.make_node("Conv", [f"p{stride}", "w", "b"], [f"c{stride}"]),
            helper.make_node("Reshape", [f"c{stride}", f"shape{stride}"], [f"r{stride}"]),
        ]
        parts.append(f"r{stride}")
    nodes += [
        helper.make_node("Concat", parts, ["all"], axis=2), helper.make_node("Transpose", ["all"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("Slice", ["rows", "zero", "four", "two"], ["boxes"]),
        helper.make_node("Slice", ["rows", "four", "end", "two"], ["logits"]), helper.make_node("Sigmoid", ["logits"], ["sure"]),
        helper.make_node("Concat", ["boxes", "sure"], ["output"], axis=2),
    ]  # fmt: skip
    constants += [
        numpy_helper.from_array(np.array([v], np.int64), k)
        for k, v in (("zero", 0), ("four", 4), ("end", 5 + classes), ("two", 2))
    ]
    cells = sum((side // stride) ** 2 for stride in (8, 16, 32))
    graph = helper.make_graph(
        nodes, "yolox", [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, cells, 5 + classes])], constants,
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    checker.check_model(made)
    save(made, path)
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return write_detector(tmp_path_factory.mktemp("onnx") / "toy.onnx")


def picture(*squares, size=(120, 160)):
    """Grey, with squares (x, y, side, colour)."""
    rgb = np.full((*size, 3), 60, np.uint8)
    for x, y, side, colour in squares:
        rgb[y : y + side, x : x + side] = colour
    return rgb


RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_a_yolox_network_finds_what_it_knows_where_it_is(network):
    found = OnnxObjects(network).detect(picture((32, 32, 32, RED), (100, 60, 32, BLUE)))
    for label, centre in (("car", (48, 48)), ("person", (116, 76))):
        own = [one for one in found if one.label == label]
        assert own, label
        x0, y0, x1, y1 = own[0].box
        assert x0 <= centre[0] <= x1
        assert y0 <= centre[1] <= y1
        assert 0.4 <= own[0].score <= 1
    assert OnnxObjects(network).detect(picture()) == ()


@pytest.mark.parametrize("size", [(120, 160), (160, 120), (30, 40), (1080, 1920), (8, 300)])
def test_boxes_stay_in_frames_of_any_shape(network, size):
    side = max(4, min(size) // 2)
    found = OnnxObjects(network, threshold=0.2).detect(picture((0, 0, side, RED), size=size))
    assert all(0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0] for (x0, y0, x1, y1), *_ in found)


def test_boxes_already_in_pixels_are_not_decoded_again():
    rows = np.zeros((84, 7))
    rows[:, :4] = 30, 30, 24, 40
    rows[0, 4:] = 0.9, 0.1, 1.0
    boxes, scores, classes = decoded(rows, 64, 64)
    assert boxes[0].tolist() == [18, 10, 42, 50]
    assert scores[0] == pytest.approx(0.9)
    assert classes[0] == 1


def test_a_letterbox_keeps_shape_and_order_of_colours():
    made, scale = letterbox(picture((0, 0, 120, RED)), 64, 64)
    assert scale == 0.4
    assert made[0, :, 5, 5].tolist() == [0, 0, 255]  # BGR
    assert made[0, :, 60, 5].tolist() == [114] * 3


def test_other_classes_stand_beside_the_network(tmp_path):
    path = write_detector(tmp_path / "own.onnx", classes=2)
    with pytest.raises(BadInput, match=r"own\.txt beside it"):
        OnnxObjects(path).detect(picture())
    (tmp_path / "own.txt").write_text("Forklift\nPallet\n")
    assert {one.label for one in OnnxObjects(path).detect(picture((32, 32, 64, RED)))} <= {"forklift", "pallet"}
    assert OnnxObjects(path).labels == ("forklift", "pallet")


def test_what_is_no_network_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        open_detector(str(tmp_path / "gone.onnx"))
    (tmp_path / "bad.onnx").write_bytes(b"not a network")
    with pytest.raises(BadInput, match="cannot be read"):
        open_detector(str(tmp_path / "bad.onnx")).detect(picture())


def moving(colour):
    """A square of 40 pixels that goes to the right, in 6 s at 6 frames/s."""
    frames = np.stack([picture((8 + 3 * k, 40, 40, colour)) for k in range(36)])
    return VideoClip.from_array("road.mp4", frames, fps=6.0)


def test_the_detector_in_use_is_followed_and_its_classes_count_in_rules(network, monkeypatch):
    from agent.rules.compile import compile_rule
    from agent.rules.evaluate import evaluate
    from agent.rules.gather import gather
    from readers.open import Source

    clip = moving(RED)
    source = Source(name="road.mp4", kind="video", samples=(clip,), sha256="", summary={})
    rule = compile_rule("a car is an anomaly").definition
    without = evaluate(rule, gather(source))
    assert not without.findings
    assert any("no car" in one.reason for one in without.cannot)
    monkeypatch.setenv("TELLTALE_OBJECTS", str(network))
    assert isinstance(finder_in_use(), LearnedObjects)
    assert "car" in labels_in_use()
    tracks = find_tracks(clip).tracks
    assert {track.label for track in tracks} == {"car"}
    assert {track.direction() for track in tracks} <= {"right", "nowhere"}
    assert any(track.duration_s > 1 for track in tracks)
    with_cars = evaluate(rule, gather(source))
    assert with_cars.findings
    assert not with_cars.cannot
    assert not evaluate(rule, gather(Source(name="b", kind="video", samples=(moving(BLUE),), sha256="", summary={}))).findings


@pytest.fixture(scope="module")
def small_detr(tmp_path_factory):
    """A random RT-DETR of a few layers with its processor, as a hub folder holds them."""
    import torch
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrImageProcessor, RTDetrResNetConfig

    torch.manual_seed(0)
    back = RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = RTDetrConfig(
        backbone_config=back, encoder_in_channels=[16, 16, 32], encoder_hidden_dim=32, encoder_ffn_dim=32, encoder_layers=1,
        d_model=32, num_queries=20, decoder_in_channels=[32, 32, 32], decoder_ffn_dim=32, decoder_layers=1, decoder_attention_heads=2,
        encoder_attention_heads=2, num_labels=3, id2label={0: "Person", 1: "Car", 2: "Dog"}, label2id={"Person": 0, "Car": 1, "Dog": 2},
        num_denoising=0, anchor_image_size=None,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("hub") / "detr"
    RTDetrForObjectDetection(config).save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def test_a_detector_of_transformers(small_detr):
    detector = HubObjects(str(small_detr), threshold=0.01, device="cpu")
    assert detector.labels == ("person", "car", "dog")
    found = detector.detect(picture((32, 32, 32, RED)))
    assert found
    assert {one.label for one in found} <= set(detector.labels)
    assert all(0 <= x0 < x1 <= 160 and 0 <= y0 < y1 <= 120 for (x0, y0, x1, y1), *_ in found)
    assert list(found) == sorted(found, key=lambda one: -one.score)
    assert found == detector.detect(picture((32, 32, 32, RED)))
    assert HubObjects(str(small_detr), threshold=0.9999, device="cpu").detect(picture()) == ()


def test_a_model_that_is_no_detector_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(BadInput, match="expected a detector of transformers"):
        HubObjects(str(tmp_path)).detect(picture())
    with pytest.raises(UnknownName, match="telltale models pull nobody/nothing"):
        HubObjects("nobody/nothing").detect(picture())
