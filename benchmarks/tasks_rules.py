"""Rules suite: definitions in words held against real data, and what happens when they are turned round.

Every check is one definition on one source. Coverage is the share that is answered, accuracy counts only those; what the embedded tier
cannot measure it must say, with the command that would enable it, instead of guessing. `inverts` is the share of answered checks whose
decision turns with the inverted rule (1 or something is broken); a method that reads no rule has 0 there. Recall, IoU and false alarms
are of the places told, where the set knows them. `exact` is agreement to the row with a computation that shares no code with the
engine. AUC rows order clips or pictures without deciding. Rows marked development are clips on which the tracker was set up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.rules.measurable import Looker
from benchmarks import rules_answers as told
from benchmarks import rules_sets as sets
from benchmarks.rows import Row, measured
from benchmarks.rules_answers import Answer
from benchmarks.rules_looker import find_looker
from benchmarks.rules_sets import Check
from core.errors import BadInput, UserError
from core.samples import VideoClip
from metrics.ranking import auroc

SEEDS = (0, 1, 2)
FRAMES = 6
"""Frames of a clip that pooled features are taken of, half of them from its first half."""
FOLDS = 6
"""Parts of neighbouring clips, three fights and three others each: neighbours are often cut from one scene."""


@dataclass(frozen=True, kw_only=True)
class Seer:
    """The tier that rules are asked with: its name, and what looks at pictures in it."""

    name: str = "embedded"
    looker: Looker | None = None


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes a fifth of the pictures and clips, and one machine and capture."""
    seers = [Seer()]
    try:
        found = find_looker()
        seers += [Seer(name=found[0], looker=found[1])] if found is not None else []
    except UserError as error:
        print(f"rules: no model looks at pictures: {error}")
    for part in (_conditions, _laboratory, _fights, _falls, _avenue):
        try:
            yield from part(data, seers, quick)
        except BadInput as error:
            print(f"rules: {error}")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Checks that share a row, under the name of their data and with a note."""

    data: str
    checks: Sequence[Check]
    note: str = ""


def engine_rows(seers: Sequence[Seer], *parts: Part, exact: bool = False) -> Iterator[Row]:
    """Rows per tier and part, and one on what is said where it abstains; a check of several parts is asked once."""
    checks = list(dict.fromkeys(check for part in parts for check in part.checks))
    for seer in seers:
        with measured() as cost:
            answers = dict(zip(checks, told.ask(checks, looker=seer.looker), strict=True))
        for part in parts:
            given = [answers[check] for check in part.checks]
            method = f"rules engine, {seer.name}"
            yield Row(data=part.data, method=method, metrics=told.scores(part.checks, given, exact=exact), note=part.note,
                      seconds=sum(answer.seconds for answer in given), peak_mb=cost.peak_mb)  # fmt: skip
            if silent := told.abstentions(given):
                reasons = list(dict.fromkeys(c.words for a in given if a.decision is None for c in a.cannot))
                yield Row(data=part.data, method=f"{method}: where it abstains", metrics=silent, seconds=0.0, peak_mb=0.0,
                          note=f"e.g. {reasons[0][:300]}" if reasons else "")  # fmt: skip


def trivial_rows(data: str, checks: Sequence[Check], *, exact: bool = False, halves: bool = False) -> Iterator[Row]:
    """Always yes, always no, a coin, and what the words of the rule alone suggest."""

    def row(method: str, answers: Sequence[Answer], seeds: tuple[int, ...] = ()) -> Row:
        metrics = told.scores(checks, answers, exact=exact)
        return Row(data=data, method=method, metrics=metrics, seconds=0.0, peak_mb=0.0, seeds=seeds, trivial=True)

    yield row("always abnormal", told.always(checks, "abnormal"))
    yield row("always normal", told.always(checks, "normal"))
    for seed in SEEDS:
        yield row("random", told.at_random(checks, seed), (seed,))
    yield row("base rate of the text", told.by_text(checks))
    if halves:
        yield row("second half of every clip", told.second_halves(checks))


def order_row(data: str, method: str, labels: Sequence[bool], values: Sequence[float] | NDArray[np.floating], *, seconds: float = 0.0,
              trivial: bool = True, note: str = "") -> Row:  # fmt: skip
    """A row of something that only orders the sources."""
    metrics = {"auc": auroc(np.asarray(labels, bool), np.asarray(values, np.float64))}
    return Row(data=data, method=method, metrics=metrics, seconds=seconds, peak_mb=0.0, trivial=trivial, note=note)


def _conditions(data: Path, seers: Sequence[Seer], quick: bool) -> Iterator[Row]:
    """Conditions on readings and events, whose truth can be computed."""
    makers: tuple[tuple[str, Callable[[Path], list[Check]]], ...] = (("smd", sets.machines), ("otrf_sysmon", sets.captures))
    for name, make in makers:
        checks = make(data)
        if quick:
            checks = [check for check in checks if check.source == checks[0].source]
        yield from trivial_rows(name, checks, exact=True)
        yield from engine_rows(
            seers[:1], Part(data=name, checks=checks, note=f"{len({c.source for c in checks})} files"), exact=True
        )


def _laboratory(data: Path, seers: Sequence[Seer], quick: bool) -> Iterator[Row]:
    checks = sets.laboratory(data)
    if quick:
        kept = sorted({check.source for check in checks})[::5]
        checks = [check for check in checks if check.source in kept]
    name, labels = "sdls_lab", [check.abnormal for check in checks]
    yield from trivial_rows(name, checks)
    yield order_row(name, "base rate of the text, as a score", labels, [told.text_rate(checks, c, c.rule) for c in checks])
    with measured() as cost:
        guesses = concept_guesses(checks)
    yield order_row(name, "concept matching, forced to guess", labels, guesses, seconds=cost.seconds, trivial=False,
                    note="what the embedded tier does not do")  # fmt: skip
    yield from engine_rows(seers, Part(data=name, checks=checks, note=f"{len({c.source for c in checks})} pictures"))


def concept_guesses(checks: Sequence[Check]) -> list[float]:
    """How far each picture is from what its rule calls normal, by concept matching, which cannot tell states; higher is stranger."""
    from benchmarks.datasets import read_picture
    from models.vision_concepts import match

    sources = list(dict.fromkeys(check.source for check in checks))
    texts = list(dict.fromkeys(check.rule for check in checks))
    statements = [text.partition(" that ")[2] for text in texts]
    fits = match([read_picture(source).pixels for source in sources], statements)
    found = [float(fits[sources.index(c.source), texts.index(c.rule)]) for c in checks]
    return [-fit if c.rule.startswith("it is normal") else fit for c, fit in zip(checks, found, strict=True)]


def _fights(data: Path, seers: Sequence[Seer], quick: bool) -> Iterator[Row]:
    checks = sets.fights(data)[:: 5 if quick else 1]
    name, labels = "surv_fights", [check.abnormal for check in checks]
    yield from trivial_rows(name, checks)
    yield order_row(name, "file size", labels, [check.source.stat().st_size for check in checks])
    with measured() as cost:
        flows = [peak_flow(_clip(check.source)) for check in checks]
    yield order_row(name, "optical flow, 95th percentile of speed", labels, flows, seconds=cost.seconds)
    if not quick:
        with measured() as cost:
            own, others = scene_classifier(checks)
        frames = np.repeat(labels, FRAMES - FRAMES // 2).tolist()
        yield order_row(name, "classifier on pooled features, later frames of the same clips", frames, own, seconds=cost.seconds,
                        note="it was taught on the first half of each clip: it knows the scene")  # fmt: skip
        yield order_row(
            name, "classifier on pooled features, other scenes", labels, others, note=f"{FOLDS} folds of neighbouring clips"
        )
    yield from engine_rows(seers, Part(data=name, checks=checks))


def _clip(path: Path) -> VideoClip:
    from benchmarks.video_sets import read_clip

    return read_clip(path)


def peak_flow(clip: VideoClip) -> float:
    """The speed that a twentieth of all points exceed over the whole clip, in parts of the picture's height per second."""
    from models.flow import DenseFlow

    speeds = [
        np.hypot(*np.moveaxis(step.flow, 2, 0)) / step.dt_s / step.flow.shape[0] for step in DenseFlow().stream(clip.frames())
    ]
    return float(np.percentile(np.stack(speeds), 95))


def scene_classifier(checks: Sequence[Check]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores of logistic regression on pooled features: of later frames of the clips it was taught on, and of clips of other scenes."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = np.stack([pooled(_clip(check.source)) for check in checks])
    labels = np.array([check.abnormal for check in checks])
    first = FRAMES // 2

    def taught(clips: NDArray[np.bool_], frames: slice) -> LogisticRegression:
        part = features[clips, frames]
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        return model.fit(part.reshape(-1, part.shape[-1]), np.repeat(labels[clips], part.shape[1]))

    everyone = np.ones(len(checks), np.bool_)
    own = taught(everyone, slice(0, first)).decision_function(features[:, first:].reshape(-1, features.shape[-1]))
    others = np.zeros(len(checks))
    order = np.concatenate([np.arange(count) * FOLDS // count for count in ((labels).sum(), (~labels).sum())])
    for fold in range(FOLDS):
        held = order == fold
        others[held] = taught(~held, slice(None)).decision_function(features[held].mean(axis=1))
    return own, others


def pooled(clip: VideoClip) -> NDArray[np.float32]:
    """Mean patch features (FRAMES, C) of frames spread evenly over a clip."""
    from models.patches import PatchEncoder

    wanted = np.linspace(0, clip.n_frames - 1, FRAMES).round().astype(int)
    frames = {i: frame.rgb for i, frame in enumerate(clip.frames(max_side=320)) if i in set(wanted.tolist())}
    last = max(frames)  # a container may promise a frame more than it holds
    maps = PatchEncoder().encode([frames[min(int(i), last)] for i in wanted])
    return np.asarray(maps.mean(dim=(1, 2)).cpu().numpy(), dtype=np.float32)


def _falls(data: Path, seers: Sequence[Seer], quick: bool) -> Iterator[Row]:
    """Acted falls; also with the wording that the engine proposes where it cannot tell whether what falls is a person."""
    checks = sets.falls(data)
    test = [check for check in checks if not check.development]
    ready = [check for check in checks if check.development]
    name = "gmdcsa24_falls"
    setup = Part(data=f"{name} (development)", checks=ready[:1] if quick else ready, note="the tracker was set up on these clips")
    if quick:
        yield from engine_rows(seers[:1], setup)
        return
    anything = [replace(c, rule="something falling is an anomaly", inverse="something falling is normal") for c in test]
    yield from trivial_rows(name, test, halves=True)
    yield from engine_rows(
        seers[:1], Part(data=name, checks=test, note="“a person falling”; the labelled stretch counts lying afterwards in"),
        Part(data=name, checks=anything, note="“something falling”, the wording proposed where it abstains"), setup,
    )  # fmt: skip
    yield from engine_rows(seers[1:], Part(data=name, checks=test))


def _avenue(data: Path, seers: Sequence[Seer], quick: bool) -> Iterator[Row]:
    """Three rules on a walkway; what happens in the labelled stretches was read off the pictures."""
    checks = [check for kind in sets.AVENUE_RULES for check in sets.avenue(data, kind)]
    test = [check for check in checks if not check.development and (not quick or check.source.stem == "21")]
    ready = [] if quick else [check for check in checks if check.development]
    yield from trivial_rows("avenue", test)
    parts = [Part(data="avenue", checks=test, note="all three rules")]
    for rule, _ in sets.AVENUE_RULES.values():
        parts.append(Part(data="avenue", checks=[check for check in test if check.rule == rule], note=f"“{rule}”"))
    if ready:
        parts.append(Part(data="avenue (development)", checks=ready, note="the two normal clips; the tracker was set up on them"))
    yield from engine_rows(seers, *parts)
