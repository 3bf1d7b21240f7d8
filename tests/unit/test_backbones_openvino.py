"""The embedded network run by OpenVINO: torch's features, kept, reported to nobody, and a clear word where it is not installed."""

import sys

import pytest
import torch
from skimage import data as pictures
from torch import nn

from core.errors import MissingExtra
from models.device import Placement, place
from models.patches import PatchEncoder

COFFEE = pictures.coffee()
CPU32 = Placement(torch.device("cpu"), torch.float32, "test")


@pytest.fixture(autouse=True)
def _fp32(monkeypatch):
    """Equalities are told apart better in fp32."""
    monkeypatch.setattr("models.device.place", lambda device="auto": CPU32)


@pytest.mark.parametrize(("strides", "picture"), [((8, 16), COFFEE), ((32, 4), COFFEE[:, :100])])
def test_openvinos_features_are_torchs_in_fp32(strides, picture):
    pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    ours, theirs = (PatchEncoder(side=64, strides=strides, runtime=r).encode([picture]) for r in ("torch", "openvino"))
    assert theirs.dtype == torch.float32
    assert (ours - theirs).abs().max() < 1e-4 * ours.abs().max()


def test_openvinos_features_are_close_to_torchs_in_bf16(monkeypatch):
    pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    monkeypatch.setattr("models.device.place", place)
    if place("cpu").dtype != torch.bfloat16:
        pytest.skip("this processor multiplies no bf16")
    ours, theirs = (PatchEncoder(side=128, runtime=r, device="cpu").encode([COFFEE])[0] for r in ("torch", "openvino"))
    assert nn.functional.cosine_similarity(ours, theirs, dim=-1).min() > 0.999


def test_openvino_keeps_earlier_features():
    """The compiled network writes into the same memory again."""
    pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    encoder = PatchEncoder(side=64, runtime="openvino")
    (first,) = encoder.taps([COFFEE])[:1]
    before = first.clone()
    encoder.taps([COFFEE[::-1]])
    assert torch.equal(first, before)
    together = encoder.encode([COFFEE, COFFEE[::-1]])
    assert torch.equal(together[1], encoder.encode([COFFEE[::-1]])[0])


def test_openvino_reports_nothing_to_anybody(monkeypatch):
    telemetry = pytest.importorskip("openvino_telemetry", reason="the extra 'openvino' is not installed")
    from models import backbones_openvino

    def refused(*_, **__):
        raise AssertionError("usage would have been reported")

    monkeypatch.setattr(telemetry.Telemetry, "init", refused)
    monkeypatch.setattr(telemetry.Telemetry, "send_event", refused)
    backbones_openvino._compiled.cache_clear()
    PatchEncoder(side=64, runtime="openvino", strides=(4, 8)).encode([COFFEE])


def test_without_openvino_the_message_names_the_extra(monkeypatch):
    from models import backbones_openvino

    monkeypatch.setitem(sys.modules, "openvino", None)
    backbones_openvino.load_openvino.cache_clear()
    with pytest.raises(MissingExtra, match=r"pip install 'telltale\[openvino\]'"):
        PatchEncoder(side=64, runtime="openvino").encode([COFFEE])
