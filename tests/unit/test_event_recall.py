import numpy as np
import pytest

from core.errors import BadInput
from core.segments import extract_events
from metrics.events import Watched, recall_at, temporal_iou

T = np.arange(0.1, 60, 0.2)


def overlap(a, b):
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return shared / (a[1] - a[0] + b[1] - b[0] - shared)


def bump(centre, height):
    return height * np.exp(-(((T - centre) / 0.6) ** 2))


def test_one_threshold_for_all_clips():
    """A quiet clip's event is lower than a busy clip's noise: it is found only with the noise."""
    busy = Watched(seconds=T, scores=bump(10, 5.0) + bump(40, 3.0), events=[(9, 11)])
    quiet = Watched(seconds=T, scores=bump(30, 2.0), events=[(29, 31)])
    found = recall_at([busy, quiet], [0, 1])
    assert found == {0: 0.5, 1: 1.0}


def test_it_does_not_depend_on_the_scale_or_offset_of_scores():
    rng = np.random.default_rng(0)
    clips = [Watched(seconds=T, scores=rng.normal(0, 1, len(T)) + bump(20, 3.0), events=[(19, 21)]) for _ in range(3)]
    moved = [Watched(seconds=c.seconds, scores=7 * c.scores - 3, events=c.events) for c in clips]
    assert recall_at(clips, [0, 2, 5]) == recall_at(moved, [0, 2, 5])


def test_more_false_alarms_never_find_less_and_all_of_them_find_all():
    rng = np.random.default_rng(1)
    clips = [Watched(seconds=T, scores=rng.random(len(T)), events=[(19, 21), (40, 50)]) for _ in range(3)]
    found = recall_at(clips, [0, 1, 3, 10, 1000])
    assert list(found.values()) == sorted(found.values())
    assert found[1000] == 1.0


def test_against_counting_by_hand_at_every_score():
    rng = np.random.default_rng(2)
    clips = [Watched(seconds=T[:40], scores=np.round(rng.random(40), 1), events=[(2.0, 3.0), (6.0, 7.0)]) for _ in range(2)]
    least = min(c.scores.min() for c in clips)
    best = 0.0
    for high in np.unique(np.concatenate([c.scores - least for c in clips])):
        if high <= 0:
            continue
        found = false = 0
        for clip in clips:
            told = extract_events(clip.seconds, (clip.scores - least).astype(np.float32), unit_s=0.2, high=high, low=high / 2)
            pairs = [[overlap((e.start_s, e.end_s), one) >= 0.1 for one in clip.events] for e in told]
            found += sum(any(row[k] for row in pairs) for k in range(2))
            false += sum(not any(row) for row in pairs)
        best = max(best, found / 4) if false <= 2 else best
    assert recall_at(clips, [2])[2] == pytest.approx(best)


def test_moments_that_were_not_judged_are_no_alarm():
    scores = bump(10, 5.0) + bump(40, 9.0)
    open_, shut = (Watched(seconds=T, scores=scores, events=[(9, 11)], valid=valid) for valid in (None, T < 30))
    assert recall_at([open_], [0])[0] == 0.0
    assert recall_at([shut], [0])[0] == 1.0


def test_without_labelled_events_there_is_no_recall():
    with pytest.raises(BadInput, match="labelled event"):
        recall_at([Watched(seconds=T, scores=T)], [0])


def test_overlap_in_time():
    assert temporal_iou((0, 1), []) == 0.0
    assert temporal_iou((0, 2), [(3, 4)]) == 0.0
    assert temporal_iou((1, 3), [(0, 2), (1, 3)]) == 1.0
