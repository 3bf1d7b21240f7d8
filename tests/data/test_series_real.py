"""The series detector on real server machines (SMD): ranking, root causes, and the question "which sensor is to blame?"."""

import os
import pathlib

import numpy as np
import pytest

from benchmarks.series_sets import smd
from benchmarks.tasks_series import cause_hits
from core.calibrate import from_reference
from metrics.ranking import auroc
from tools.series.describe import describe_interval
from tools.series.window_pca import WindowPCA

DATA = pathlib.Path(os.environ.get("TELLTALE_DATA", pathlib.Path(__file__).parents[3] / "shared" / "data"))
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not (DATA / "smd").is_dir(), reason="real data set smd not found under TELLTALE_DATA"),
]


@pytest.fixture(scope="module")
def scored():
    """(entity, fitted detector, scores) of every machine."""
    found = []
    for entity in smd(DATA):
        detector = WindowPCA().fit([entity.normal])
        found.append((entity, detector, detector.score([entity.test])[0]))
    return found


def test_incidents_rank_above_normal_minutes(scored):
    areas = [auroc(entity.labels, scores.scores) for entity, _, scores in scored]
    print("AUROC per machine", [round(a, 3) for a in areas])
    assert np.mean(areas) > 0.78


def test_a_true_cause_is_among_the_three_channels_blamed_most(scored):
    hits = np.array([h for entity, _, scores in scored for h in cause_hits(entity, scores.channels)])
    rates = hits.mean(axis=0)
    print(f"{len(hits)} incidents: hit@1 {rates[0]:.2f}, hit@3 {rates[1]:.2f}, hit@5 {rates[2]:.2f}")
    assert len(hits) == sum(len(entity.causes) for entity, _, _ in scored)
    # Three channels drawn at random hit in 38 % of the incidents (many have ten causes and more), z-scores in 87 %.
    assert rates[1] >= 0.8


def test_which_sensor_is_to_blame_in_the_longest_incident_of_the_first_machine(scored):
    entity, detector, scores = scored[0]
    cause = max(entity.causes, key=lambda c: c.last - c.first)
    inside = slice(cause.first, cause.last + 1)
    blamed = np.argsort(-scores.channels[inside].sum(axis=0))[:3].tolist()
    assert cause.channels & set(blamed), f"blamed {blamed}, true {sorted(cause.channels)}"
    threshold = from_reference(detector.reference_scores(), false_positive_rate=0.001).threshold
    assert scores.scores[inside].max() > threshold
    change = describe_interval(entity.test, blamed[0], cause.first, cause.last)
    assert change.kind
    assert change.before is not None
    assert change.during is not None


def test_without_history_the_same_incidents_still_stand_out(scored):
    entity = scored[0][0]
    found = WindowPCA().score([entity.test])[0]
    assert auroc(entity.labels, found.scores) > 0.7
