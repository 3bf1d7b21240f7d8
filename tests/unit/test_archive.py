import numpy as np
import pytest

from core.archive import load_arrays, restate, save_arrays
from core.errors import BadInput


def test_a_saved_detector_is_restated_for_another_device(tmp_path):
    kept, moved = tmp_path / "kept.npz", tmp_path / "moved.npz"
    save_arrays(kept, name="musc", parameters={"side": 96, "device": "cuda"}, arrays={"a": np.arange(3)}, state={"normals": 1})
    restate(kept, moved, name="musc", device="cpu")
    parameters, arrays, state = load_arrays(moved, name="musc")
    assert (parameters, state) == ({"side": 96, "device": "cpu"}, {"normals": 1})
    assert arrays["a"].tolist() == [0, 1, 2]
    assert load_arrays(kept, name="musc")[0]["device"] == "cuda"


def test_what_a_detector_does_not_have_is_not_restated(tmp_path):
    kept = tmp_path / "kept.npz"
    save_arrays(kept, name="musc", parameters={"side": 96}, arrays={})
    with pytest.raises(BadInput, match=r"expected constructor values of 'musc' \(side\), got \['speed'\]"):
        restate(kept, kept, name="musc", speed=3)
    with pytest.raises(BadInput, match="expected a saved 'cpr' detector, got a saved 'musc'"):
        restate(kept, kept, name="cpr", side=3)
