"""Labelled steps with scores by formula, for the measures of series that are compared with published packages."""

import numpy as np

INCIDENTS = {
    "apart": [(40, 59), (150, 151)],
    "close": [(0, 3), (30, 44), (50, 50), (56, 70), (596, 599)],
    "ties": [(100, 139)],
}


def case(kind):
    """600 labels and scores that lag three steps behind them; `ties` has few distinct scores."""
    steps = np.arange(600)
    labels = np.zeros(600, int)
    for first, last in INCIDENTS[kind]:
        labels[first : last + 1] = 1
    scores = (steps * 97 % 601) / 601 + 0.4 * np.roll(labels, 3)
    return labels, np.floor(5 * scores) / 5 if kind == "ties" else scores
