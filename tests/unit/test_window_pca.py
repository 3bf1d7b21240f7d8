"""WindowPCA on made-up series: planted faults, gaps, quiet channels, odd shapes, streaming, wide data."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.calibrate import from_reference
from core.errors import BadInput, NotFitted
from core.samples import Series
from tools.series.window_pca import WindowPCA
from tools.series.windows import dominant_period, learn_basis, measure_scale, residual_energy, standardise


def waves(steps=1500, channels=4, *, seed=0, start=0):
    rng = np.random.default_rng(seed)
    t = np.arange(start, start + steps)[:, None]
    return (np.sin(t / 7 + np.arange(channels)) + 0.1 * rng.standard_normal((steps, channels))).astype(np.float32)


def series(values, name="s", channels=None):
    names = channels or tuple(f"c{i}" for i in range(values.shape[1]))
    return Series(name=name, values=values, time_s=np.arange(len(values), dtype=np.float64), channels=names)


def fitted(**values):
    return WindowPCA(**values).fit([series(waves(seed=1))])


def spiked(channel=2, at=700, length=6, size=3.0):
    values = waves(seed=2)
    values[at : at + length, channel] += size
    return values


@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize("channel", [0, 3])
def test_a_planted_fault_peaks_in_place_and_blames_its_channel(history, channel):
    detector = fitted() if history else WindowPCA()
    found = detector.score([series(spiked(channel))])[0]
    assert 695 <= int(np.argmax(found.scores)) <= 711
    assert int(found.channels[700:706].sum(axis=0).argmax()) == channel


def test_shares_add_up_to_the_score_and_the_input_is_untouched():
    values = spiked()
    before = values.copy()
    found = fitted().score([series(values)])[0]
    np.testing.assert_allclose(found.channels.sum(axis=1), found.scores, rtol=1e-4)
    np.testing.assert_array_equal(values, before)


def test_a_broken_correlation_within_the_usual_range_is_seen():
    values = waves(seed=2)
    values[600:680, 1] = waves(seed=2, start=11)[600:680, 1]
    found = fitted().score([series(values)])[0]
    assert found.scores[610:670].mean() > 2 * np.median(found.scores)
    assert int(found.channels[610:670].sum(axis=0).argmax()) == 1


def test_a_move_along_a_normal_direction_but_too_far_is_seen():
    """All channels swing together, as they always do, but thirty times as far."""
    normal = (np.sin(np.arange(2000) / 9)[:, None] * np.ones((1, 3))).astype(np.float32)
    normal += 0.05 * np.random.default_rng(0).standard_normal(normal.shape).astype(np.float32)
    odd = normal.copy()
    odd[900:930] *= 15
    narrow = WindowPCA(bound=4.0).fit([series(normal)]).score([series(odd)])[0].scores
    assert narrow[905:925].min() > np.quantile(narrow[:850], 0.999)


def test_a_slight_but_lasting_excess_is_seen_at_the_long_scales():
    detector = WindowPCA().fit([series(waves(8000, seed=1))])
    values = waves(4000, seed=2)
    values[2000:2600] += 0.08 * np.random.default_rng(5).standard_normal((600, 4)).astype(np.float32)
    found = detector.score([series(values)])[0].scores
    assert np.median(found[2100:2500]) > np.quantile(found[:1800], 0.999)


def test_a_quiet_channel_matters_when_it_moves_whatever_the_size():
    normal = np.concatenate([waves(seed=1), np.full((1500, 1), 5.0, np.float32)], axis=1)
    detector = WindowPCA().fit([series(normal)])
    peaks = []
    for size in (0.5, 1e6):
        values = np.concatenate([waves(seed=2), np.full((1500, 1), 5.0, np.float32)], axis=1)
        values[700:710, 4] += size
        found = detector.score([series(values)])[0]
        assert int(found.channels[700:710].sum(axis=0).argmax()) == 4
        peaks.append(float(found.scores.max()))
    assert peaks[0] == pytest.approx(peaks[1], rel=1e-3), "the size of a move without scale must not matter"


def test_gaps_are_filled_and_full_gaps_are_invalid():
    values = waves(seed=2)
    values[100:120] = np.nan
    values[300:303, 0] = np.nan
    found = fitted().score([series(values)])[0]
    assert found.valid.sum() == 1480
    assert not found.valid[100:120].any()
    assert (found.scores[100:120] == 0).all()
    assert found.scores[300:303].max() < np.quantile(found.scores, 0.999) + 5


def test_a_channel_gone_silent_is_odd_by_itself():
    values = waves(seed=2)
    values[700:900, 1] = np.nan
    detector = fitted()
    found = detector.score([series(values)])[0]
    assert found.valid.all()
    assert int(found.channels[740:880].sum(axis=0).argmax()) == 1
    assert found.scores[740:880].min() > from_reference(detector.reference_scores()).threshold


def test_a_channel_that_was_always_missing_is_no_news():
    normal = np.concatenate([waves(seed=1), np.full((1500, 1), np.nan, np.float32)], axis=1)
    values = np.concatenate([waves(seed=2), np.full((1500, 1), np.nan, np.float32)], axis=1)
    detector = WindowPCA().fit([series(normal)])
    found = detector.score([series(values)])[0]
    assert found.valid.all()
    threshold = from_reference(detector.reference_scores(), false_positive_rate=0.01).threshold
    assert (found.scores > threshold).mean() < 0.05


def test_a_series_without_any_reading_is_refused():
    with pytest.raises(BadInput, match="every value is missing"):
        WindowPCA().score([series(np.full((50, 2), np.nan, np.float32))])


def test_other_channels_are_refused_by_name_and_another_order_is_mended():
    detector = fitted()
    with pytest.raises(BadInput, match="lacks 'c3'; also has 'oil'"):
        detector.score([series(waves(), channels=("c0", "c1", "c2", "oil"))])
    with pytest.raises(BadInput, match="expected the 4 channels of the normal data, got 3"):
        detector.score([series(waves(channels=3))])
    straight = detector.score([series(spiked())])[0]
    turned = detector.score([series(spiked()[:, ::-1].copy(), channels=("c3", "c2", "c1", "c0"))])[0]
    np.testing.assert_array_equal(straight.scores, turned.scores)
    np.testing.assert_array_equal(straight.channels, turned.channels[:, ::-1])


def test_a_channel_that_is_off_throughout_is_named_and_does_not_take_the_blame():
    values = spiked(channel=2)
    values[:, 0] += 3.0
    detector = fitted()
    found = detector.score([series(values)])[0]
    assert 690 <= int(np.argmax(found.scores)) <= 716
    assert int(found.channels[700:706].sum(axis=0).argmax()) == 2
    assert detector.shifted_channels(series(values))[0][0] == "c0"
    assert detector.shifted_channels(series(spiked())) == []
    short = detector.score([series(values[:300])])[0]
    assert np.median(short.scores) > from_reference(detector.reference_scores(), false_positive_rate=0.001).threshold


def test_a_very_long_series_is_learned_from_stretches():
    from tools.series.model import stretches

    assert [len(p) for p in stretches(np.zeros((5_000, 3), np.float32))] == [5_000]
    parts = stretches(np.arange(1_000_000, dtype=np.float32)[:, None])
    assert sum(len(p) for p in parts) == 200_000
    assert (parts[0][0, 0], parts[-1][-1, 0]) == (0.0, 999_999.0)


@pytest.mark.parametrize("steps", [1, 2, 7, 15, 16, 17])
def test_a_series_shorter_than_the_window_is_scored_against_history(steps):
    found = fitted().score([series(waves(steps))])[0]
    assert found.scores.shape == (steps,)
    assert np.isfinite(found.scores).all()


def test_without_history_a_few_rows_are_refused_with_the_number_needed():
    with pytest.raises(BadInput, match=r"series 's': expected at least 8 rows.*got 3"):
        WindowPCA().score([series(waves(3))])
    assert len(WindowPCA().score([series(waves(12))])[0].scores) == 12


def test_a_single_channel_takes_its_period_as_window():
    t = np.arange(3000)
    values = (np.sin(t * 2 * np.pi / 48) + 0.05 * np.random.default_rng(0).standard_normal(3000)).astype(np.float32)
    values[2000:2048] = values[2000]
    found = WindowPCA().score([series(values[:, None])])[0].scores
    assert 1960 <= int(np.argmax(found)) <= 2090
    assert dominant_period(values[:1900]) == 48


@pytest.mark.parametrize("period", [12, 48, 288])
def test_the_dominant_period_is_found_and_noise_has_none(period):
    t = np.arange(period * 12)
    noise = np.random.default_rng(1).standard_normal(len(t))
    assert dominant_period(np.sin(t * 2 * np.pi / period) + 0.2 * noise) == pytest.approx(period, abs=max(1, period // 40))
    assert dominant_period(noise) is None
    assert dominant_period(np.ones(300)) is None


def test_held_out_scores_keep_the_promised_false_alarm_rate():
    detector = WindowPCA().fit([series(waves(4000, seed=1))])
    threshold = from_reference(detector.reference_scores(), false_positive_rate=0.01).threshold
    fresh = detector.score([series(waves(4000, seed=9))])[0].scores
    assert (fresh > threshold).mean() < 0.03


def test_many_short_normals_are_held_out_one_by_one():
    detector = WindowPCA().fit([series(waves(60, seed=i), name=str(i)) for i in range(6)])
    assert len(detector.reference_scores()) == 360


def test_a_minority_of_odd_steps_does_not_become_normal():
    """Eight per cent of the series is faulty; without setting it aside the fault would be learned as a pattern."""
    values = waves(3000, seed=3)
    values[1000:1240, 2] += np.float32(2.5)
    found = WindowPCA().score([series(values)])[0].scores
    labels = np.zeros(3000, bool)
    labels[1000:1240] = True
    assert np.median(found[labels]) > np.quantile(found[~labels], 0.99)


@pytest.mark.parametrize("cuts", [(1500,), (1, 3, 500, 996), (7,) * 214 + (2,)])
def test_a_stream_equals_the_batch(cuts):
    values = spiked()
    values[400:440, 1] = np.nan
    values[900:903] = np.nan
    detector = fitted(causal=True)
    whole = detector.score([series(values)])[0]
    stream = detector.stream()
    edges = np.concatenate([[0], np.cumsum(cuts)])
    parts = [stream.update(values[a:b]) for a, b in pairwise(edges)] + [stream.finish()]
    assert [p.first for p in parts if len(p.scores)] == np.cumsum([0, *[len(p.scores) for p in parts if len(p.scores)]])[
        :-1
    ].tolist()
    np.testing.assert_allclose(np.concatenate([p.scores for p in parts]), whole.scores, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(np.concatenate([p.channels for p in parts]), whole.channels, rtol=1e-2, atol=1e-2)
    np.testing.assert_array_equal(np.concatenate([p.valid for p in parts]), whole.valid)


def test_a_stream_keeps_bounded_memory():
    stream = fitted(causal=True).stream()
    sizes = []
    for i in range(40):
        stream.update(waves(200, seed=i))
        sizes.append(sum(v.nbytes for v in vars(stream).values() if isinstance(v, np.ndarray)))
    assert sizes[-1] == sizes[5]


def test_a_stream_needs_history_and_the_right_rows():
    with pytest.raises(NotFitted, match="window_pca"):
        WindowPCA().stream()
    with pytest.raises(BadInput, match=r"expected rows of shape ·×4 of float32, got float64"):
        fitted().stream().update(np.zeros((3, 4)))
    with pytest.raises(BadInput, match="infinity"):
        fitted().stream().update(np.full((3, 4), np.inf, np.float32))


def test_save_and_load_keep_everything(tmp_path):
    detector = fitted(window=12)
    detector.save(tmp_path / "d.npz")
    loaded = WindowPCA.load(tmp_path / "d.npz")
    np.testing.assert_array_equal(loaded.score([series(spiked())])[0].scores, detector.score([series(spiked())])[0].scores)
    WindowPCA(window=9).save(tmp_path / "new.npz")
    assert WindowPCA.load(tmp_path / "new.npz").window == 9


def test_wide_data_use_the_randomised_decomposition_with_the_same_result():
    values = waves(900, channels=80, seed=4)
    values[500:506, 33] += 3
    found = WindowPCA(window=16).score([series(values)])[0]
    assert 495 <= int(np.argmax(found.scores)) <= 511
    assert int(found.channels[500:506].sum(axis=0).argmax()) == 33


def test_the_randomised_patterns_span_the_exact_ones(monkeypatch):
    import tools.series.windows as windows

    z = standardise(waves(1200, 6), measure_scale([waves(1200, 6)]), 20.0)
    exact = residual_energy(z, learn_basis([z], window=8, components=4, explained=1.0, seed=0), bound=8.0)
    monkeypatch.setattr(windows, "EXACT_SIDE", 1)
    rough = residual_energy(z, learn_basis([z], window=8, components=4, explained=1.0, seed=0), bound=8.0)
    np.testing.assert_allclose(rough.mean(), exact.mean(), rtol=0.02)


@pytest.mark.parametrize("values", [
    {"window": 1}, {"components": 0}, {"clip": 0.0}, {"trim": 0.6}, {"bound": -1.0}, {"window": 1_000_000_000},
    {"components": 999_999_999}, {"explained": -3}, {"explained": 0.0}, {"explained": 1.01}, {"explained": float("nan")},
])  # fmt: skip
def test_impossible_settings_are_refused(values):
    with pytest.raises(BadInput, match="expected window ≥ 2"):
        WindowPCA(**values)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(steps=st.integers(8, 200), channels=st.integers(1, 5), seed=st.integers(0, 999), gaps=st.floats(0, 0.7))
def test_any_series_with_readings_gets_finite_scores(steps, channels, seed, gaps):
    rng = np.random.default_rng(seed)
    values = (rng.standard_normal((steps, channels)) * 10.0 ** rng.integers(-6, 7, channels)).astype(np.float32)
    values[rng.random((steps, channels)) < gaps] = np.nan
    values[0, 0] = 1.0
    found = WindowPCA().score([series(values)])[0]
    assert np.isfinite(found.scores).all()
    assert (found.valid == ~np.isnan(values).all(axis=1)).all()


def flagged(*, flags, seed=0, steps=3_000):
    """One measured channel and flags that are thrown at random."""
    thrown = np.random.default_rng(seed).random((steps, flags)) < 0.02
    return np.column_stack([waves(steps, 1, seed=seed), thrown]).astype(np.float32)


@pytest.mark.parametrize("history", [True, False])
def test_flags_that_outnumber_what_is_measured_are_looked_at_and_not_judged(history, tmp_path):
    values = flagged(flags=30, seed=1)
    values[2_000:2_060, 0] += 1.0
    detector = WindowPCA(causal=history)
    if history:
        detector.fit([series(flagged(flags=30, seed=2))]).save(tmp_path / "a.npz")
        detector = WindowPCA.load(tmp_path / "a.npz")
    found = detector.score([series(values)])[0]
    assert found.unjudged == tuple(f"c{i}" for i in range(1, 31))
    assert not found.channels[:, 1:].any()
    assert 1_990 <= int(found.scores.argmax()) < 2_080
    if history:
        stream = detector.stream()
        streamed = np.concatenate([stream.update(values).scores, stream.finish().scores])
        np.testing.assert_allclose(streamed, found.scores, rtol=1e-4, atol=1e-4)
    judged = WindowPCA(switches="judged").score([series(values)])[0]
    assert judged.unjudged == ()
    assert judged.channels[:, 1:].any()


def test_a_flag_among_measured_channels_is_judged_unless_asked_otherwise():
    values = np.column_stack([waves(seed=1), flagged(flags=1, seed=1, steps=1_500)[:, 1]])
    assert WindowPCA().score([series(values)])[0].unjudged == ()
    assert WindowPCA(switches="unjudged").score([series(values)])[0].unjudged == ("c4",)
    with pytest.raises(BadInput, match="'auto', 'judged', 'unjudged'"):
        WindowPCA(switches="maybe")
