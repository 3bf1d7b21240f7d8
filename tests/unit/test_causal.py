"""Events of a stream: worked values, and the same events as a reading of the whole curve that looks at every unit again."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.causal import CausalEvents, Closed, Opened
from core.errors import BadInput

UNIT = 0.2


def run(scores, *, seconds=None, valid=None, unit_s=UNIT, high=5.0, low=2.5, finish=True, **more):
    events = CausalEvents(unit_s=unit_s, high=high, low=low, **more)
    seconds = [(number + 0.5) * unit_s for number in range(len(scores))] if seconds is None else seconds
    valid = [True] * len(scores) if valid is None else valid
    changes = [c for one in zip(seconds, scores, valid, strict=True) for c in events.push(one[0], one[1], valid=one[2])]
    return changes + list(events.finish() if finish else ())


def smoothed(seconds, scores, judged, tau_s):
    """y of every judged unit, as the weighted sum over all that came before it."""
    at = [i for i in range(len(scores)) if judged[i]]
    out = {}
    for place, i in enumerate(at):
        value, left = 0.0, 1.0
        for k in range(place, 0, -1):
            share = 1 - math.exp(-(seconds[at[k]] - seconds[at[k - 1]]) / tau_s) if tau_s else 1.0
            value += left * share * scores[at[k]]
            left *= 1 - share
        out[i] = value + left * scores[at[0]]
    return out


def by_hand(seconds, scores, valid, *, unit_s, high, low, tau_s, open_units, close_s):
    """The same events from the whole curve, every question asked anew of all units."""
    judged = [bool(v) and math.isfinite(s) for v, s in zip(valid, scores, strict=True)]
    y = smoothed(seconds, scores, judged, tau_s)
    lost = max(close_s, 2 * unit_s) + 1e-6
    together = [i > 0 and seconds[i] - seconds[i - 1] <= lost for i in range(len(seconds))]
    found, i = [], 0
    while i < len(seconds):
        row = range(i - open_units + 1, i + 1)
        opens = row[0] >= (found[-1][4] if found else 0) and all(y.get(k, -math.inf) >= high for k in row) and all(
            together[k] for k in row[1:]
        )  # fmt: skip
        if not opens:
            i += 1
            continue
        first = i
        while first - 1 >= (found[-1][4] if found else 0) and together[first] and y.get(first - 1, -math.inf) >= low:
            first -= 1
        high_enough = [k for k in range(first + 1, i + 1) if scores[k] >= low]
        last, still, end = max([first, *high_enough]), i, None
        for k in range(i + 1, len(seconds)):
            if not together[k]:
                end = k
                break
            if y.get(k, -math.inf) >= low:
                still = k
                last = k if scores[k] >= low else last
            elif seconds[k] - seconds[still] >= close_s - 1e-6:
                end = k + 1
                break
        inside = [y[k] for k in range(first, last + 1) if k in y]
        found.append((first, last, max(inside), sum(inside) / len(inside), end if end is not None else len(seconds)))
        i = found[-1][4]
    return found


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 1.0, 2.4, 3.0, 4.9, 5.1, 7.0, 12.0, 40.0, math.nan]),
            st.sampled_from([True] * 9 + [False]),
            st.sampled_from([0.2] * 12 + [0.4, 0.6, 2.0, 2.6, 9.0]),
        ),
        max_size=70,
    ),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.5, 2.0]),
)
def test_a_stream_gives_the_events_of_the_whole_curve(units, tau_s, open_units, close_s):
    scores, valid = [u[0] for u in units], [u[1] for u in units]
    seconds = np.cumsum([u[2] for u in units]).tolist()
    numbers = {"tau_s": tau_s, "open_units": open_units, "close_s": close_s}
    changes = run(scores, seconds=seconds, valid=valid, **numbers)
    opened, closed = ([c for c in changes if isinstance(c, kind)] for kind in (Opened, Closed))
    expected = by_hand(seconds, scores, valid, unit_s=UNIT, high=5.0, low=2.5, **numbers)
    assert len(opened) == len(closed) == len(expected)
    for begin, end, (first, last, peak, mean, _) in zip(opened, closed, expected, strict=True):
        assert begin.number == end.number
        assert begin.start_s == end.start_s == pytest.approx(seconds[first] - UNIT / 2)
        assert end.end_s == pytest.approx(seconds[last] + UNIT / 2)
        assert end.peak == pytest.approx(peak)
        assert end.mean == pytest.approx(mean)
        assert begin.start_s < begin.at_s <= end.at_s


def test_the_smoothing_is_that_of_the_specification():
    events = CausalEvents(unit_s=UNIT, high=5.0, low=2.5)
    share = 1 - math.exp(-UNIT / 1.0)
    expected = 3.0
    events.push(0.1, 3.0)
    for number, score in enumerate([7.0, 0.0, 2.0], start=1):
        events.push((number + 0.5) * UNIT, score)
        expected = share * score + (1 - share) * expected
        assert events.level == pytest.approx(expected)


def test_one_high_unit_is_no_event_and_two_are():
    assert run([0, 9, 0, 0], tau_s=0.0) == []
    opened, closed = run([0, 9, 9, 0], tau_s=0.0)
    assert (opened.start_s, opened.at_s) == (pytest.approx(0.2), pytest.approx(0.5))
    assert (closed.end_s, closed.cut) == (pytest.approx(0.6), True)


def test_it_closes_two_seconds_after_it_faded_and_a_shorter_dip_joins():
    scores = [9, 9] + [0] * 9 + [9, 9] + [0] * 10 + [9]
    changes = run(scores, tau_s=0.0, finish=False)
    assert [type(c).__name__ for c in changes] == ["Opened", "Closed"]
    closed = changes[1]
    assert closed.end_s == pytest.approx(13 * UNIT)
    assert closed.at_s == pytest.approx(22.5 * UNIT)
    assert closed.units == 13
    assert not closed.cut


def test_what_is_not_judged_neither_opens_nor_prolongs():
    assert run([9, math.nan, 9, 9][:3], tau_s=0.0) == []
    assert run([9, 9, 9], valid=[True, False, True], tau_s=0.0) == []
    closed = run([9, 9] + [math.nan] * 10, tau_s=0.0, finish=False)[1]
    assert closed.end_s == pytest.approx(2 * UNIT)
    assert run([math.inf, math.inf, -math.inf], tau_s=0.0) == []


def test_a_gap_closes_what_nobody_saw_go_on():
    changes = run([9, 9, 9, 9], seconds=[0.1, 0.3, 60.1, 60.3], tau_s=0.0)
    assert [type(c).__name__ for c in changes] == ["Opened", "Closed", "Opened", "Closed"]
    assert changes[1].cut
    assert changes[1].end_s == pytest.approx(0.4)
    assert changes[2].start_s == pytest.approx(60.0)


def test_time_that_passes_without_units_closes_an_event():
    events = CausalEvents(unit_s=UNIT, high=5.0, low=2.5, tau_s=0.0)
    events.push(0.1, 9.0)
    events.push(0.3, 9.0)
    assert events.open
    assert events.elapse(2.0) == ()
    (closed,) = events.elapse(3.0)
    assert closed.cut
    assert not events.open
    assert events.elapse(9.0) == events.finish() == ()


def test_a_strong_event_ends_when_its_own_scores_do():
    opened, closed = run([0, 80, 80] + [0.0] * 40, finish=False)
    assert closed.start_s == pytest.approx(0.2)
    assert closed.end_s == pytest.approx(0.6)  # y is above `low` for two and a half seconds more
    assert closed.at_s > 4.5
    assert opened.at_s == pytest.approx(0.5)
    assert closed.units == 2


def test_slow_streams_have_events_too():
    opened, closed = run([0, 9, 9, 0], unit_s=5.0, seconds=[2.5, 7.5, 12.5, 17.5], finish=False)
    assert opened.at_s == 12.5
    assert (closed.start_s, closed.end_s) == (5.0, 15.0)


def test_rising_says_whether_a_unit_may_belong_to_an_event():
    events = CausalEvents(unit_s=UNIT, high=5.0, low=2.5, tau_s=0.0)
    seen = []
    for number, score in enumerate([0, 3, 0, 3, 9, 9, 0]):
        events.push((number + 0.5) * UNIT, score)
        seen.append(events.rising)
    assert seen == [False, True, False, True, True, True, True]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"unit_s": 0.0}, "unit_s > 0"),
        ({"high": math.nan}, "high a finite number"),
        ({"low": 6.0}, "low at most"),
        ({"tau_s": -1.0}, "tau_s ≥ 0"),
        ({"open_units": 0}, "open_units ≥ 1"),
        ({"close_s": math.inf}, "close_s ≥ 0"),
    ],
)
def test_numbers_out_of_range_are_refused(numbers, said):
    with pytest.raises(BadInput, match=said):
        CausalEvents(**{"unit_s": UNIT, "high": 5.0, "low": 2.5, **numbers})


def test_time_goes_forward():
    events = CausalEvents(unit_s=UNIT, high=5.0, low=2.5)
    events.push(1.0, 0.0)
    for second in (1.0, 0.5, math.nan, math.inf):
        with pytest.raises(BadInput, match="expected a time after"):
            events.push(second, 0.0)
