"""Every detector of the catalogue against the whole contract of core.checks."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.checks import checks_for, scored_or_refused
from core.detector import teach
from core.errors import UserError
from core.synthetic import FLAVOURS, anything, case, examples
from tools.catalog import catalogue

FAST = {
    "patch_search": {"side": 96},
    "vision_ad": {"side": 96},
    "cpr": {"side": 96, "width": 16, "simulated": 8, "steps": 10, "pairs": 4},
    "text_decoder": {"side": 96, "simulated": 12, "steps": 20},
    "musc": {"side": 96},
    "musc_v2": {"side": 96, "groups": 192, "size": 48, "inner": (16, 48)},
    "intrinsic": {"side": 96},
    "inp_former": {"side": 96, "steps": 20, "patches": 16},
    "gaussian": {"side": 96},
    "consensus": {"side": 96},
    "fastflow": {"side": 96, "updates": 12, "steps": 4},
    "frame_novelty": {"side": 64, "flow_side": 64, "unit_s": 0.3},
    "lagovad": {"side": 64, "flow_side": 64, "steps": 12, "width": 16},
    "mil_ranking": {"side": 64, "flow_side": 64, "steps": 60},
    "trip_llm": {"window": 24, "patches": (4, 8), "stride": 4, "updates": 20, "rate": 3e-3, "layers": 1},
    "ape": {"steps": 60},
    "state": {"side": 128, "flow_side": 128, "width": 4, "steps": 30, "batch": 4},
}
"""Constructor values that make a detector small; an unknown detector or argument fails."""


def _cases():
    for name, spec in catalogue().items():
        for check in checks_for(spec, parameters=FAST.get(name)):
            marks = [pytest.mark.gpu] if check.needs == "gpu" else []
            yield pytest.param(check, id=f"{name}-{check.name}", marks=marks)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.timeout(120)  # two seconds is the aim; a shared machine may be many times slower
@pytest.mark.parametrize("check", list(_cases()))
def test_contract(check):
    if check.needs == "gpu":
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device here")
    check.run()


def test_fast_settings_name_real_detectors():
    assert set(FAST) <= set(catalogue())


@pytest.mark.parametrize("name", list(catalogue()))
def test_any_valid_sample_is_scored_or_refused(name):
    spec = catalogue()[name]
    detector = catalogue().create(name, **FAST.get(name, {}))
    if spec.needs_fit:
        teach(detector, case(spec.kind).normal, examples(spec.kind) if spec.labelled else ())
    largest = {"image": 120, "points": 120, "video": 40}.get(spec.kind, 300)

    @settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(size=st.integers(1, largest), flavour=st.sampled_from(FLAVOURS), seed=st.integers(0, 2**16))
    def holds(size, flavour, seed):
        scored_or_refused(detector, anything(spec.kind, seed=seed, size=size, flavour=flavour))

    holds()


def test_constructor_values_of_a_wrong_name_are_refused():
    with pytest.raises(UserError, match="sidee"):
        catalogue().create("patch_search", sidee=3)


def test_the_checks_can_fail():
    """A detector that breaks the contract in six ways is told so by six checks."""
    from core.detector import DetectorSpec
    from core.score_shapes import ContractBroken

    spec = DetectorSpec(
        name="careless", class_path=f"{__name__}:Careless", kind="series", needs_fit=True, transductive=False, cost="instant",
        needs="embedded", use="Shows that the checks bite.", avoid_when="always", paper="none", licence="Apache-2.0",
    )  # fmt: skip
    Careless.spec = spec
    broken = set()
    for check in checks_for(spec):
        try:
            check.run()
        except ContractBroken:
            broken.add(check.name)
    expected = {"unfitted_is_refused_or_scores", "empty_batch_is_refused", "inputs_stay_untouched", "same_twice",
                "alone_as_in_batch", "planted_anomaly_is_found", "docstring_is_useful", "wrong_input_is_refused"}  # fmt: skip
    assert expected <= broken
    assert "evidence_is_small" not in broken


class Careless:
    """Does everything wrong."""

    def __init__(self, *, level=1.0):
        self.level = level
        self.calls = np.random.default_rng()

    def fit(self, normal):
        for sample in normal:
            sample.values[0] += 1
        return self

    def score(self, batch):
        from core.scores import PointScores

        return [
            PointScores(
                sample=s.name, seconds=s.time_s, scores=self.calls.random(len(s.values)).astype(np.float32) + len(batch),
                valid=np.ones(len(s.values), bool),
            )
            for s in batch
        ]  # fmt: skip

    def reference_scores(self):
        return np.zeros(3, np.float32)

    def save(self, path):
        path.write_bytes(b"")

    @classmethod
    def load(cls, path):
        return cls()
