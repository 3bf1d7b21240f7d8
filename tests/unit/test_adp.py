"""Attacks detected over precision: equal to the definition, cut by cut; closed forms; bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInput
from metrics.adp import attacks_detected_over_precision


def by_definition(attack, scores, steps=20_000):
    """For each of many precisions, the largest share of attacks found at a cut that is at least so precise."""
    attacks = {a for a in attack if a >= 0}
    cuts = []
    for threshold in set(scores):
        flagged = [a for a, s in zip(attack, scores, strict=True) if s >= threshold]
        true = [a for a in flagged if a >= 0]
        cuts.append((len(true) / len(flagged), len(set(true)) / len(attacks)))
    grid = (np.arange(steps) + 0.5) / steps
    return float(np.mean([max((share for precision, share in cuts if precision >= p), default=0.0) for p in grid]))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(nodes=st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 5)), min_size=1, max_size=12))
def test_it_is_what_the_definition_says(nodes):
    attack, scores = np.array([a for a, _ in nodes]), np.array([float(s) for _, s in nodes])
    found = attacks_detected_over_precision(attack, scores)
    if (attack < 0).all():
        assert np.isnan(found)
    else:
        assert found == pytest.approx(by_definition(attack.tolist(), scores.tolist()), abs=2e-3)


def test_closed_forms():
    assert attacks_detected_over_precision(np.array([0, 1, -1, -1]), np.array([4.0, 3.0, 2.0, 1.0])) == 1.0
    assert attacks_detected_over_precision(np.array([0, -1, -1, -1]), np.zeros(4)) == 0.25
    assert attacks_detected_over_precision(np.array([-1, -1, -1, 0]), np.arange(4.0)[::-1]) == 0.25


@pytest.mark.parametrize(("attack", "scores"), [([0, 1], [1.0]), ([0], [np.nan]), ([[0]], [[1.0]])])
def test_bad_input_is_refused(attack, scores):
    with pytest.raises(BadInput):
        attacks_detected_over_precision(np.array(attack), np.array(scores))
