"""The series ensemble: surprises that compare, references that do not judge what they learned from, streams, hostile series."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInput, NotFitted
from core.samples import Series
from metrics.ranking import auroc, average_precision
from tools.series.ensemble import SeriesEnsemble
from tools.series.members import MEMBERS, STREAMED
from tools.series.surprise import learn_surprise
from tools.series.threshold import AdaptiveThreshold

pytestmark = pytest.mark.usefixtures("one_thread")


def series(values, name="s", channels=None):
    values = np.asarray(values, np.float32)
    values = values if values.ndim == 2 else values[:, None]
    names = channels or tuple(f"c{i}" for i in range(values.shape[1]))
    return Series(name=name, values=values, time_s=np.arange(len(values), dtype=np.float64), channels=names)


def waves(steps, channels=5, seed=0, noise=0.2):
    rng = np.random.default_rng(seed)
    phases, gains = np.random.default_rng(99).uniform(0, 6, channels), np.linspace(0.5, 2, channels)
    t = np.arange(steps)[:, None]
    return gains * np.sin(t / 9 + phases) + rng.normal(0, noise, (steps, channels))


def faulty(steps=2000, channels=5, seed=1, first=1200, length=60, channel=2):
    values, labels = waves(steps, channels, seed), np.zeros(steps, int)
    values[first : first + length, channel] += 1.5
    labels[first : first + length] = 1
    return values, labels


@pytest.mark.parametrize("history", [True, False])
def test_a_planted_fault_ranks_first_and_its_channel_is_blamed(history):
    values, labels = faulty()
    detector = SeriesEnsemble()
    if history:
        detector.fit([series(waves(3000))])
    found = detector.score([series(values)])[0]
    assert auroc(labels, found.scores) > 0.95
    assert average_precision(labels, found.scores) > 0.8
    assert found.channels[labels == 1].sum(axis=0).argmax() == 2
    np.testing.assert_allclose(found.channels.sum(axis=1), found.scores, rtol=1e-3, atol=1e-5)


def test_every_member_can_be_named_and_finds_a_spike():
    values, labels = waves(1500, 2), np.zeros(1500, int)
    values[900:903] += 4
    labels[900:903] = 1
    for name in MEMBERS:
        found = SeriesEnsemble(members=(name,)).fit([series(waves(2500, 2, seed=5))]).score([series(values)])[0]
        assert auroc(labels, found.scores) > 0.9, name


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 999), count=st.integers(1, 3000), scale=st.sampled_from([1e-6, 1.0, 1e6]))
def test_surprise_rises_with_the_score_and_matches_the_rank(seed, count, scale):
    reference = (scale * np.random.default_rng(seed).gamma(2, size=count)).astype(np.float32)
    curve = learn_surprise(reference)
    grid = np.linspace(0, 3 * float(reference.max()), 500).astype(np.float32)
    surprises = curve(grid)
    assert (np.diff(surprises) >= 0).all()
    assert surprises[-1] > curve(reference).max() - 1e-3
    if count >= 500:
        for share in (0.5, 0.1):
            at = np.quantile(reference, 1 - share).astype(np.float32)
            assert curve(np.array([at]))[0] == pytest.approx(-np.log10(share), abs=0.05)


def test_surprises_of_machines_of_another_unit_and_noise_compare():
    """Normal data of any machine exceeds the surprise 2 about once in a hundred steps: that is what makes scores comparable."""
    shares = []
    for seed, (scale, noise) in enumerate([(1.0, 0.1), (1000.0, 0.8), (0.01, 2.0)]):
        normal, later = waves(4000, seed=seed, noise=noise), waves(4000, seed=seed + 50, noise=noise)
        detector = SeriesEnsemble().fit([series(scale * normal)])
        shares.append(float((detector.score([series(scale * later)])[0].scores > 2).mean()))
    assert all(share < 0.03 for share in shares), shares


def test_without_history_a_lasting_fault_is_not_taken_for_granted():
    """Judged by what the other quarters taught: a new relation that fills 9 % of a series stays strange to the forecast."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=4000)
    values = np.stack([common, np.roll(common, 1) + 0.1 * rng.normal(size=4000), rng.normal(size=4000)], axis=1)
    labels = np.zeros(4000, int)
    labels[2000:2360] = 1
    values[2000:2360, 1] = np.roll(values[:, 2], 1)[2000:2360]  # follows another channel as faithfully
    found = SeriesEnsemble(members=("forecast",)).score([series(values)])[0]
    assert auroc(labels, found.scores) > 0.95


def test_itself_is_left_out_of_short_series_and_when_not_asked_for():
    detector, alone = (SeriesEnsemble(itself=itself).fit([series(waves(2000))]) for itself in (True, False))
    short = series(waves(200, seed=3))
    np.testing.assert_array_equal(detector.score([short])[0].scores, alone.score([short])[0].scores)
    long = series(waves(900, seed=3))
    assert (detector.score([long])[0].scores != alone.score([long])[0].scores).any()


def test_channels_in_another_order_are_matched_by_name():
    values, _ = faulty()
    detector = SeriesEnsemble().fit([series(waves(2000))])
    straight = detector.score([series(values)])[0]
    turned = detector.score([series(values[:, ::-1], channels=tuple(f"c{i}" for i in range(4, -1, -1)))])[0]
    np.testing.assert_array_equal(straight.scores, turned.scores)
    np.testing.assert_array_equal(straight.channels, turned.channels[:, ::-1])


def test_a_stream_says_the_same_however_it_is_cut_and_forgets():
    values, labels = faulty(3000, first=2000)
    detector = SeriesEnsemble().fit([series(waves(4000))])

    def streamed(size):
        stream = detector.stream()
        parts = [stream.update(values[a : a + size].astype(np.float32)) for a in range(0, len(values), size)]
        parts.append(stream.finish())
        assert [p.first for p in parts if len(p.scores)] == sorted(p.first for p in parts if len(p.scores))
        return np.concatenate([p.scores for p in parts]), stream

    whole, _ = streamed(3000)
    assert len(whole) == 3000
    for size in (1, 37, 1000):
        again, stream = streamed(size)
        np.testing.assert_allclose(again, whole, rtol=1e-3, atol=1e-4)
    assert len(stream._waiting) <= 2 * detector.window
    assert auroc(labels, whole) > 0.95


def test_a_channel_that_settles_elsewhere_is_named_and_stops_alarming():
    detector = SeriesEnsemble().fit([series(waves(6000))])
    values = waves(9000, seed=4)
    values[3000:, 1] = 1.5 * values[3000:, 1] + 1.0
    stream = detector.stream()
    parts = [stream.update(values[a : a + 500].astype(np.float32)) for a in range(0, 9000, 500)]
    scores = np.concatenate([p.scores for p in parts])
    drifts = [drift for part in parts for drift in part.drifts]
    assert drifts[0].channel == "c1"  # others rise with it, less: they were forecast from it
    assert all(drift.times <= drifts[0].times for drift in drifts)
    assert 3000 < drifts[0].step < 4500
    assert drifts[0].times >= 2
    assert scores[3100:3500].mean() > 3  # at first it is an incident
    assert scores[6000:].mean() < 0.5 * scores[3100:3500].mean()  # then the new normal


@pytest.mark.parametrize("rate", [0.05, 0.01])
@pytest.mark.parametrize("restless", [0.3, 0.43, 0.6])
def test_alarms_keep_the_asked_rate_whatever_the_scores_do(rate, restless):
    """0.43 is the mean surprise of normal data; calmer and wilder streams alarm as often as was asked, once the threshold is there."""
    surprises = np.random.default_rng(0).exponential(restless, 300_000).astype(np.float32)
    alarms = AdaptiveThreshold(rate=rate).update(surprises)[150_000:]
    assert alarms.mean() == pytest.approx(rate, rel=0.15)


def test_a_long_incident_alarms_throughout_and_does_not_deafen_the_threshold_for_good():
    threshold = AdaptiveThreshold(rate=0.01)
    assert threshold.update(np.full(5_000, 30.0, np.float32)).all()
    assert threshold.value == pytest.approx(4.0)
    quiet = threshold.update(np.full(10, 30.0, np.float32), valid=np.zeros(10, bool))
    assert not quiet.any()
    assert threshold.value == pytest.approx(4.0)


@pytest.mark.parametrize("values", [{"rate": 0.0}, {"rate": 0.9}, {"step": -1.0}])
def test_impossible_rates_are_refused(values):
    with pytest.raises(BadInput, match="expected a rate"):
        AdaptiveThreshold(**values)


def test_save_and_load_keep_scores_streams_and_shifts(tmp_path):
    detector = SeriesEnsemble(members=("patterns", "forecast", "polynomial")).fit([series(waves(3000))])
    values, _ = faulty()
    detector.save(tmp_path / "kept.npz")
    again = SeriesEnsemble.load(tmp_path / "kept.npz")
    np.testing.assert_array_equal(again.score([series(values)])[0].scores, detector.score([series(values)])[0].scores)
    rows = values.astype(np.float32)
    np.testing.assert_array_equal(again.stream().update(rows).scores, detector.stream().update(rows).scores)
    moved = series(waves(3000, seed=8) + np.array([0, 3, 0, 0, 0]))
    assert again.shifted_channels(moved) == detector.shifted_channels(moved)
    assert "c1" in dict(again.shifted_channels(moved))


@pytest.mark.parametrize(
    ("rows", "said"),
    [(np.zeros((3, 4), np.float32), "·×5"), (np.zeros((3, 5)), "float64"), (np.full((2, 5), np.inf, np.float32), "infinity")],
)
def test_a_stream_refuses_what_it_cannot_read(rows, said):
    stream = SeriesEnsemble().fit([series(waves(500))]).stream()
    with pytest.raises(BadInput, match=said):
        stream.update(rows)


def test_streams_need_history_and_members_that_look_no_further_than_a_window():
    with pytest.raises(NotFitted, match="ensemble"):
        SeriesEnsemble().stream()
    with pytest.raises(BadInput, match=" ".join(STREAMED[:1])):
        SeriesEnsemble(members=("spectral",)).fit([series(waves(500))]).stream()


@pytest.mark.parametrize("members", [(), ("patterns", "stumpy")])
def test_unknown_members_are_refused(members):
    with pytest.raises(BadInput, match="members"):
        SeriesEnsemble(members=members)


HOSTILE = {
    "constant": np.full((600, 3), 7.0),
    "one row more than a window": waves(17, 2),
    "one channel": waves(600, 1),
    "gaps": np.where(np.random.default_rng(0).random((600, 3)) < 0.5, np.nan, waves(600, 3)),
    "a channel without readings": np.concatenate([waves(600, 2), np.full((600, 1), np.nan)], axis=1),
    "a long silence": np.where((np.arange(600) // 200 == 1)[:, None], np.nan, waves(600, 2)),
    "huge and tiny": waves(600, 2) * np.array([1e30, 1e-30]),
    "a counter that wraps": (np.arange(600)[:, None] * 7919 % 65536) + 0.0,
    "wide": np.random.default_rng(0).normal(size=(300, 400)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_series_get_finite_scores(name):
    values = HOSTILE[name]
    for detector in (SeriesEnsemble(), SeriesEnsemble().fit([series(values)]) if len(values) > 100 else SeriesEnsemble()):
        found = detector.score([series(values)])[0]
        assert np.isfinite(found.scores).all()
        assert np.isfinite(found.channels).all()
        assert (found.scores[~found.valid] == 0).all()
    if name == "constant":
        assert found.scores.max() < 1


def test_nothing_but_gaps_is_refused():
    with pytest.raises(BadInput, match="every value is missing"):
        SeriesEnsemble().score([series(np.full((50, 2), np.nan))])


@pytest.mark.parametrize("history", [True, False])
def test_switches_that_are_not_judged_neither_alarm_nor_drown_what_is_measured(history, tmp_path):
    rng = np.random.default_rng(0)
    flags = (rng.random((3_000, 30)) < 0.01).astype(float)
    values = np.column_stack([waves(3_000, 1), flags])
    values[2_000:2_040, 0] += 0.8
    given = series(values)
    detector = SeriesEnsemble()
    if history:
        detector.fit([series(np.column_stack([waves(3_000, 1, seed=1), flags]))])
        detector.save(tmp_path / "a.npz")
        detector = SeriesEnsemble.load(tmp_path / "a.npz")
        stream = detector.stream()
        streamed = np.concatenate([stream.update(values.astype(np.float32)).scores, stream.finish().scores])
        assert 1_990 <= int(streamed.argmax()) < 2_080
    found = detector.score([given])[0]
    assert 1_990 <= int(found.scores.argmax()) < 2_050
    assert int(found.channels[2_000:2_040].sum(axis=0).argmax()) == 0
    thrown = values.copy()
    thrown[500:520, 1:] = 1
    np.testing.assert_allclose(detector.score([series(thrown)])[0].scores, found.scores, atol=1e-5)
