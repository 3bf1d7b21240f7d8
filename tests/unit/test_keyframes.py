import numpy as np
import pytest

from core.samples import VideoClip
from core.segments import Segment
from tools.video.keyframes import APART_S, BUDGET, LEAST, budgets, by_scores, moments, picture_changes


def segment(start, end, peak, *, mean=1.0):
    return Segment(start_s=start, end_s=end, peak_s=peak, peak=2.0, mean=mean, first=int(5 * start), last=int(5 * end))


SECONDS = np.arange(0.1, 60, 0.2)
EVENT = segment(20, 30, 27)
SCORES = np.where((SECONDS > 26) & (SECONDS < 28), 1.0, 0.0)


def planned(**more):
    return moments(EVENT, SECONDS, SCORES, **{"count": 12, "duration_s": 60.0, **more})


@pytest.mark.parametrize(("units", "count"), [(5, 8), (8, 8), (100, 1), (100, 16)])
def test_without_scores_moments_are_even(units, count):
    assert by_scores(np.zeros(units), count).tolist() == np.rint(np.linspace(0, units - 1, count)).astype(int).tolist()


def test_strange_stretches_are_seen_more_often_than_quiet_ones_and_these_too():
    chosen = by_scores(np.r_[np.zeros(50), np.ones(10), np.zeros(50)], 12)
    inside = ((chosen >= 50) & (chosen < 60)).sum()
    assert 6 <= inside < 12
    assert (chosen < 50).any()
    assert (chosen >= 60).any()


def test_moments_come_in_order_with_a_quarter_before_and_a_quarter_after():
    found = planned()
    times = [moment.time_s for moment in found]
    assert times == sorted(times)
    roles = [moment.role for moment in found]
    assert roles.count("before") == roles.count("after") == 3
    assert [roles.count(role) for role in ("start", "peak", "end")] == [1, 1, 1]
    assert all(15 <= m.time_s < 20 for m in found if m.role == "before")
    assert all(30 < m.time_s <= 35 for m in found if m.role == "after")
    assert min(np.diff(times)) >= APART_S
    assert len(found) <= 12


def test_half_of_the_context_is_where_the_picture_changes():
    def changes(low, high):
        times = np.arange(low, high, 0.2)
        return times, np.where(np.abs(times - 17.4) < 0.05, 9.0, 0.1)

    assert any(abs(m.time_s - 17.4) < 0.06 and m.role == "before" for m in planned(changes=changes))
    assert not any(abs(m.time_s - 17.4) < 0.06 for m in planned())


def test_context_ends_at_the_clip_and_at_the_neighbour():
    neighbour = segment(10, 18.5, 12)
    assert all(m.time_s >= 18.5 for m in planned(others=[neighbour]))
    first = moments(segment(0, 4, 2), SECONDS, SCORES, count=8, duration_s=4.0)
    assert {m.role for m in first} <= {"start", "peak", "end", "during"}
    assert all(0 <= m.time_s <= 4 for m in first)


def test_a_short_event_keeps_its_peak():
    found = moments(segment(5, 5.3, 5.2), SECONDS, SCORES, count=8, duration_s=60.0)
    assert "peak" in [m.role for m in found]
    assert any(m.role == "before" for m in found)


def test_stranger_events_get_more_moments():
    assert budgets([segment(0, 9, 5, mean=3.0), segment(20, 21, 20)], 0.2) == [BUDGET, LEAST]
    assert budgets([segment(0, 1, 0, mean=0.0)] * 2, 0.2) == [LEAST, LEAST]
    assert budgets([], 0.2) == []


def test_changes_of_a_clip_are_where_its_pictures_change():
    frames = np.zeros((50, 20, 30, 3), np.uint8)
    frames[25:] = 200
    times, amounts = picture_changes(VideoClip.from_array("toy", frames, fps=10.0))(1.0, 4.0)
    assert float(times[amounts.argmax()]) == pytest.approx(2.6, abs=0.21)
    assert (amounts > 1).sum() == 1
    assert picture_changes(VideoClip.from_array("toy", frames, fps=10.0))(9.0, 9.5)[0].tolist() == []
