import numpy as np
import pytest

from agent.curves import curve_svg, thin
from agent.reply import Panel
from ui.plots import MAX_EVENTS, curve_figure


def panel(**data: object) -> Panel:
    return Panel(kind="curve", caption="Score", source="a", data={"seconds": [], "scores": [], "unit": "s", **data})


def test_thinning_keeps_every_single_sample_peak():
    rng = np.random.default_rng(0)
    scores = rng.random(200_000)
    peaks = rng.choice(200_000, 20, replace=False)
    scores[peaks] = 50 + np.arange(20)
    times, values = thin(np.arange(200_000.0), scores, points=2_000)
    assert len(times) <= 2_002
    assert (np.diff(times) > 0).all()
    assert values.max() == scores.max()
    assert len(set(times.astype(int)) & set(peaks.tolist())) >= 19  # two peaks may share a bin of 200


def test_thinning_keeps_gaps():
    scores = np.where((np.arange(10_000) > 4_000) & (np.arange(10_000) < 6_000), np.nan, 1.0)
    times, values = thin(np.arange(10_000.0), scores, points=500)
    assert np.isnan(values[(times > 4_100) & (times < 5_900)]).all()


def test_the_figure_has_threshold_events_and_channels():
    events = [{"start_s": 1.0, "end_s": 2.0, "evidence": "E7", "label": "x"}]
    series = [{"name": "<b>p</b>", "values": [1.0, 2.0, 3.0], "unit": "bar"}]
    figure = curve_figure(panel(seconds=[0, 1, 2], scores=[0, 9, 0], threshold=4.0, events=events, series=series))
    assert [trace.name for trace in figure.data] == ["score", "&lt;b&gt;p&lt;/b&gt; (bar)"]
    assert {"threshold", "E7"} <= {note.text for note in figure.layout.annotations}
    assert len(figure.layout.shapes) == 3  # the threshold, and the event in both rows


def test_only_the_highest_events_are_shaded():
    t = np.arange(500.0)
    events = [{"start_s": float(i), "end_s": i + 0.5, "evidence": f"E{i}", "label": ""} for i in range(500)]
    figure = curve_figure(panel(seconds=t.tolist(), scores=t.tolist(), events=events))
    assert len(figure.layout.shapes) == MAX_EVENTS
    assert figure.layout.annotations[-1].text == "E499"


@pytest.mark.parametrize("scores", [[], [np.nan, np.nan], [1.0, 1.0]])
def test_empty_flat_and_missing_curves_are_drawn_or_left_out(scores: list[float]):
    data = {"seconds": list(range(len(scores))), "scores": scores, "unit": "step"}
    assert curve_figure(panel(**data)) is not None
    assert ("<svg" in curve_svg(data, "x")) == (scores == [1.0, 1.0])


def test_clock_axes_show_the_clock_at_every_zoom():
    events = [{"start_s": 3600.0, "end_s": 5400.5, "evidence": "E1", "label": ""}]
    data = {"seconds": [0, 3600, 7200], "scores": [1, 2, 3], "unit": "clock", "epoch_s": 1_700_000_000.0, "events": events}
    figure = curve_figure(panel(**data))
    assert list(figure.data[0].x) == ["2023-11-14T22:13:20.000", "2023-11-14T23:13:20.000", "2023-11-15T00:13:20.000"]
    assert figure.layout.xaxis.type == "date"
    assert figure.layout.xaxis.tickvals is None
    assert figure.layout.yaxis.fixedrange
    (event,) = figure.layout.shapes
    assert (event.x0, event.x1) == ("2023-11-14T23:13:20.000", "2023-11-14T23:43:20.500")


@pytest.mark.parametrize(
    ("unit", "last", "kind", "hover"),
    [("s", 90.0, "date", "%-M:%S.%1f"), ("s", 7200.0, "date", "%-H:%M:%S.%1f"), ("step", 90.0, "linear", ",d")],
)
def test_hovering_says_a_time_of_the_video_or_a_row(unit: str, last: float, kind: str, hover: str):
    axis = curve_figure(panel(seconds=[0.0, last], scores=[1, 2], unit=unit)).layout.xaxis
    assert (axis.type, axis.hoverformat) == (kind, hover)


def test_channels_of_different_size_get_lanes_and_keep_their_values():
    series = [{"name": "a", "values": [0.0, 1000.0, 0.0], "unit": ""}, {"name": "b", "values": [0.0, 0.1, np.nan], "unit": "V"}]
    figure = curve_figure(panel(seconds=[0, 1, 2], scores=[0, 1, 0], series=series))
    high, low = np.array(figure.data[1].y), np.array(figure.data[2].y)
    assert high.min() > np.nanmax(low)
    assert figure.data[1].customdata[1] == "1000"
    assert np.isnan(low[2])
