"""What a score must look like for its sample, and how scores are compared: the shape half of the detector contract.

`unit` means what is thresholded: a picture, a frame unit, a time step, an event.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from core.samples import EventLog, ImageSample, PointSample, Sample, Series, VideoClip
from core.scores import EventScores, FrameScores, ImageScore, PointScores, Score


class ContractBroken(AssertionError):
    """A detector does not do what every detector must; the message says what was expected and what came."""


def demand(condition: bool, message: str) -> None:
    """Raise ContractBroken with `message` unless `condition` holds."""
    if not condition:
        raise ContractBroken(message)


def demand_shape(sample: Sample, score: Score) -> None:
    """Raise ContractBroken unless `score` has the type, shape, dtype and ranges that fit `sample`.

    >>> picture = ImageSample(name="a", pixels=np.zeros((4, 6, 3), np.uint8))
    >>> demand_shape(picture, ImageScore(sample="a", score=0.0, heatmap=np.zeros((6, 4), np.float32)))
    Traceback (most recent call last):
    core.score_shapes.ContractBroken: 'a': expected a heatmap of shape (4, 6), got (6, 4).
    """
    name = sample.name
    demand(score.sample == name, f"expected the score of {name!r} at its place, got that of {score.sample!r}.")
    if isinstance(sample, ImageSample | PointSample):
        size = sample.size if isinstance(sample, ImageSample) else sample.valid.shape
        demand(isinstance(score, ImageScore), f"{name!r}: expected ImageScore, got {type(score).__name__}.")
        assert isinstance(score, ImageScore)
        demand(score.heatmap.shape == size, f"{name!r}: expected a heatmap of shape {size}, got {score.heatmap.shape}.")
        demand(type(score.score) is float, f"{name!r}: expected a plain float as score, got {type(score.score).__name__}.")
    elif isinstance(sample, VideoClip):
        demand(isinstance(score, FrameScores), f"{name!r}: expected FrameScores, got {type(score).__name__}.")
        assert isinstance(score, FrameScores)
        _demand_frames(sample, score)
    elif isinstance(sample, Series):
        demand(isinstance(score, PointScores), f"{name!r}: expected PointScores, got {type(score).__name__}.")
        assert isinstance(score, PointScores)
        _demand_steps(sample, score)
    else:
        demand(isinstance(score, EventScores), f"{name!r}: expected EventScores, got {type(score).__name__}.")
        assert isinstance(score, EventScores)
        _demand_events(sample, score)


def _demand_frames(clip: VideoClip, score: FrameScores) -> None:
    name, index = clip.name, score.frame_index
    demand(len(score.scores) > 0, f"{name!r}: expected at least one unit, got none.")
    demand(score.unit_s > 0, f"{name!r}: expected unit_s > 0, got {score.unit_s!r}.")
    demand(bool((np.diff(score.seconds) > 0).all()), f"{name!r}: expected increasing unit centres, got {score.seconds[:8]}.")
    inside = score.seconds[0] >= 0 and score.seconds[-1] - score.unit_s / 2 < clip.duration_s
    demand(bool(inside), f"{name!r}: expected units within 0–{clip.duration_s} s, got {score.seconds[0]}–{score.seconds[-1]}.")
    demand(
        bool((index >= 0).all() and (index < clip.n_frames).all() and (np.diff(index) >= 0).all()),
        f"{name!r}: expected ordered frame numbers below {clip.n_frames}, got {index[:8]}.",
    )
    for box in score.boxes or ():
        ok = box is None or (0 <= box[0] < box[2] <= clip.width and 0 <= box[1] < box[3] <= clip.height)
        demand(ok, f"{name!r}: expected boxes inside {clip.width}×{clip.height} pixels, got {box}.")
    for part, values in score.parts.items():
        demand(
            values.shape == score.scores.shape, f"{name!r}: expected part {part!r} of {score.scores.shape}, got {values.shape}."
        )


def _demand_steps(series: Series, score: PointScores) -> None:
    name, (rows, channels) = series.name, series.values.shape
    for what, length in (("scores", len(score.scores)), ("seconds", len(score.seconds)), ("valid", len(score.valid))):
        demand(length == rows, f"{name!r}: expected {rows} {what}, got {length}.")
    demand(score.valid.dtype == np.bool_, f"{name!r}: expected a boolean valid mask, got {score.valid.dtype}.")
    if score.channels is not None:
        shape = score.channels.shape
        demand(shape == (rows, channels), f"{name!r}: expected channel scores of shape {(rows, channels)}, got {shape}.")
        demand(score.channel_names == series.channels, f"{name!r}: expected {series.channels}, got {score.channel_names}.")


def _demand_events(log: EventLog, score: EventScores) -> None:
    name, rows = log.name, log.table["row"].to_numpy()
    demand(np.array_equal(score.rows, rows), f"{name!r}: expected the log's {len(rows)} rows in order, got {score.rows[:8]}…")
    known = set(rows.tolist())
    for what, found in (("entities", score.entities), ("paths", score.paths)):
        strengths = [item.score for item in found]
        demand(strengths == sorted(strengths, reverse=True), f"{name!r}: expected {what} strongest first, got {strengths[:5]}.")
        demand(all(set(item.rows) <= known for item in found), f"{name!r}: expected {what} to cite rows of the log.")
    for attribute, share in score.attribution.items():
        ok = share.shape == score.scores.shape and bool(np.isfinite(share).all())
        demand(ok, f"{name!r}: expected finite shares of {attribute!r} of shape {score.scores.shape}, got {share.shape}.")


def flat(score: Score) -> NDArray[np.float32]:
    """Every number of a score that must be reproducible, as one vector."""
    if isinstance(score, ImageScore):
        return np.concatenate([[np.float32(score.score)], score.heatmap.ravel()])
    if isinstance(score, PointScores) and score.channels is not None:
        return np.concatenate([score.scores, score.channels.ravel()])
    return score.scores


def unit_scores(score: Score) -> NDArray[np.float32]:
    """The scores that are thresholded: one per picture, valid frame unit, valid time step or event."""
    if isinstance(score, ImageScore):
        return np.array([score.score], np.float32)
    if isinstance(score, EventScores):
        return score.scores
    return score.scores[score.valid]


def place_scores(score: Score) -> NDArray[np.float32]:
    """The scores that say where: (H, W) pixels, or one per frame unit, time step or event; invalid ones are lowest."""
    if isinstance(score, ImageScore):
        return score.heatmap
    if isinstance(score, EventScores):
        return score.scores
    return np.where(score.valid, score.scores, score.scores.min() - 1).astype(np.float32)


def place_labels(score: Score, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The planted anomaly's `mask` in the units of `place_scores`: for clips, whether the unit touches an odd frame."""
    if not isinstance(score, FrameScores):
        return mask
    edges = np.r_[0, (score.frame_index[1:] + score.frame_index[:-1] + 1) // 2, len(mask)]
    return np.array([bool(mask[a : max(b, a + 1)].any()) for a, b in pairwise(edges)])


def widened(mask: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    """`mask` grown by `margin` units on every axis and side."""
    grown = mask
    for axis in range(mask.ndim):
        moved = [grown]
        for shift in range(1, margin + 1):
            before, after = np.zeros_like(grown), np.zeros_like(grown)
            np.moveaxis(before, axis, 0)[:-shift] = np.moveaxis(grown, axis, 0)[shift:]
            np.moveaxis(after, axis, 0)[shift:] = np.moveaxis(grown, axis, 0)[:-shift]
            moved += [before, after]
        grown = np.logical_or.reduce(moved)
    return grown


def ranking(labels: NDArray[np.bool_], scores: NDArray[np.float32]) -> float:
    """P(an odd unit scores above a usual one), ties counted half: the area under the ROC curve.

    >>> ranking(np.array([False, True]), np.array([0.0, 1.0], np.float32))
    1.0
    """
    ordered = np.sort(scores[~labels])
    odd = scores[labels]
    below = np.searchsorted(ordered, odd, side="left") + np.searchsorted(ordered, odd, side="right")
    return float(below.mean() / (2 * len(ordered)))
