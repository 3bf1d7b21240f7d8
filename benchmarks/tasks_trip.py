"""TriP-LLM on sensor series: the paper's protocol on MSL beside trivial rows, SMD per machine, memory, what the language body does.

`msl, merged`: the 27 instruments' test parts in one series, ONE model of all their normal parts, PATE with buffers of 100; the random
row says where the floor is. The published .2146 is for GPT-2 with windows at stride 1 and all of the training; it is printed in the
note, not claimed. Rows "measured channels" are given alone the one channel that is no flag or command: trip_llm judges nothing else, and
what that choice is worth to simple methods belongs beside it. trip_llm is given the normal parts one by one (no window lies across two of
them), the other methods joined. `smd`: a model for each machine.

Patch sizes, stride, layers, clip, rate, number of updates, balancing, the rule and which channels are judged were chosen on the *normal*
parts of MSL and of the first two machines of SMD: the error of held-out parts, and faults injected into them (tools.series.trip_llm says
which, and what they said). Test parts chose none of them; rows of earlier choices, on the same test parts, had been seen. Rows named "last
step" are the same networks scored by the paper's rule: unbalanced window means, given to the windows' last steps, here of a window
every 16 steps. Networks have the default's training. Rows are means over seeds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import series_sets
from benchmarks.rows import Row, measured
from benchmarks.series_sets import Entity, as_series
from benchmarks.tasks_series import METHODS, SEEDS, Scores
from core.errors import BadInput
from core.samples import Series
from metrics.pate import pate
from metrics.ranking import auroc, average_precision
from metrics.vus import vus_pr
from tools.series.trip_llm import TripLLM
from tools.series.windows import measure_scale, measured_channels

BASELINES = ("random", "z-score", "isolation forest", "k-means windows", "windows, plain", "window_pca")
MERGED = "msl, merged"
PUBLISHED = "published .2146 is for GPT-2"
LAST: Mapping[str, Any] = {"rule": "last", "hop": 16, "balanced": False}
"""The paper's scoring, but for its windows at every step."""
BODIES: Mapping[str, Mapping[str, Any]] = {
    "trip_llm, drawn weights": {"body": "random"},
    "trip_llm, no body": {"body": "none"},
}
"""What the pretraining, and the body at all, are worth: everything else is equal."""
CHANNELS = (8, 38, 128)
"""Of the memory rows."""


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes three instruments, one machine, one seed and a few updates."""
    seeds, less = (SEEDS[:1], {"updates": 4, "hop": 16}) if quick else (SEEDS, {})
    try:
        instruments = series_sets.msl(data)[: 3 if quick else None]
        yield from _merged(instruments, seeds, less)
    except BadInput as error:
        print(f"trip: {error}")
    try:
        machines = series_sets.smd(data)[: 1 if quick else None]
        yield from _machines(machines, seeds[:1], less)
    except BadInput as error:
        print(f"trip: {error}")
    yield from _memory(CHANNELS[:1] if quick else CHANNELS)


def merged(entities: Sequence[Entity]) -> Entity:
    """All entities as one: normal parts joined, test parts joined."""
    return Entity(
        name="merged", normal=as_series("train", np.concatenate([e.normal.values for e in entities])),
        test=as_series("test", np.concatenate([e.test.values for e in entities])), labels=np.concatenate([e.labels for e in entities]),
    )  # fmt: skip


def _merged(instruments: Sequence[Entity], seeds: Sequence[int], less: Mapping[str, Any]) -> Iterator[Row]:
    joined = merged(instruments)
    yield from _baselines(MERGED, joined, seeds)
    yield from _baselines(MERGED, measured_part(joined), seeds, called=", measured channels")
    normal = [e.normal for e in instruments]
    yield from _trip(MERGED, normal, joined, seeds, {"trip_llm": {}}, less, note=PUBLISHED)
    yield from _trip(MERGED, normal, joined, seeds, BODIES, less)


def _machines(machines: Sequence[Entity], seeds: Sequence[int], less: Mapping[str, Any]) -> Iterator[Row]:
    found: dict[str, list[Row]] = {}
    for machine in machines:
        name = f"smd {machine.name}"
        for row in (
            *_baselines(name, machine, seeds),
            *_trip(name, [machine.normal], machine, seeds, {"trip_llm": {}}, less),
        ):
            found.setdefault(row.method, []).append(row)
            yield row
    for method, each in found.items():
        yield Row(
            data=f"smd ({len(each)})", method=method, seconds=sum(row.seconds for row in each), peak_mb=max(r.peak_mb for r in each),
            metrics={key: float(np.mean([row.metrics[key] for row in each])) for key in each[0].metrics}, seeds=each[0].seeds,
            trivial=each[0].trivial,
        )  # fmt: skip


def measured_part(entity: Entity) -> Entity:
    """The entity with the channels that trip_llm judges alone, so that methods are compared on what they are given, too."""
    values = entity.normal.values
    kept = measured_channels([values], measure_scale([values]))
    kept &= (values != values[0]).any(axis=0)
    normal, test = (as_series(s.name, s.values[:, kept]) for s in (entity.normal, entity.test))
    return replace(entity, normal=normal, test=test)


def _baselines(name: str, entity: Entity, seeds: Sequence[int], *, called: str = "") -> Iterator[Row]:
    for title in BASELINES[bool(called) :]:
        method, own = METHODS[title]
        used = own[: len(seeds)]
        with measured() as cost:
            scored = [method(entity, seed)[0] for seed in used or (0,)]
        yield Row(
            data=name, method=f"{title}{called}", metrics=_ranked(entity, scored), seconds=cost.seconds, peak_mb=cost.peak_mb,
            seeds=used, trivial=title == "random",
        )  # fmt: skip


def _trip(
    name: str, normal: Sequence[Series], entity: Entity, seeds: Sequence[int], variants: Mapping[str, Mapping[str, Any]],
    less: Mapping[str, Any], *, note: str = "",
) -> Iterator[Row]:  # fmt: skip
    """Two rows for each variant: as it comes, and the same networks scored by the paper's rule."""
    for title, values in variants.items():
        with measured() as fitting:
            detectors = [TripLLM(**{**less, **values, "seed": seed}).fit(normal) for seed in seeds]
        error = f"held-out error {np.mean([min(detector.held_out_errors()) for detector in detectors]):.4f}"
        for called, ways in ((title, detectors), (f"{title}, last step", [detector.scored_by(**LAST) for detector in detectors])):
            with measured() as cost:
                scored = [detector.score([entity.test])[0].scores for detector in ways]
            yield Row(
                data=name, method=called, metrics=_ranked(entity, scored), seconds=fitting.seconds + cost.seconds,
                peak_mb=cost.peak_mb, seeds=tuple(seeds), note="; ".join(part for part in (error, note) if part),
            )  # fmt: skip


def _ranked(entity: Entity, scored: Sequence[Scores]) -> dict[str, float]:
    found = [
        {
            "pate": pate(entity.labels, scores), "vus_pr": vus_pr(entity.labels, scores), "auroc": auroc(entity.labels, scores),
            "ap": average_precision(entity.labels, scores),
        }
        for scores in scored
    ]  # fmt: skip
    spread = {"pate_sd": float(np.std([one["pate"] for one in found]))} if len(found) > 1 else {}
    return {key: float(np.mean([one[key] for one in found])) for key in found[0]} | spread


MEASURE = """
import json, sys
import numpy as np
from benchmarks.series_sets import as_series
from tools.series.trip_llm import TripLLM
from tools.series.windows import measure_scale, measured_channels
from models import trip_llm
def kilobytes(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
steps, channels, at_once = 4000, int(sys.argv[1]), sys.argv[2] == "at once"
values = np.random.default_rng(0).normal(size=(steps, channels)).astype(np.float32)
TripLLM(updates=1, batch=1).fit([as_series("noise", values[:200, :1])])
open("/proc/self/clear_refs", "w").write("5")  # starts the highest mark anew
before = kilobytes("VmRSS")
trip_llm.GROUP_NUMBERS = 10**12 if at_once else trip_llm.GROUP_NUMBERS
TripLLM(updates=3, batch=64).fit([as_series("noise", values)])
print(json.dumps({"before": before / 1024, "peak": kilobytes("VmHWM") / 1024}))
"""


def _memory(counts: Sequence[int]) -> Iterator[Row]:
    """Peak memory that training adds to a process with everything loaded, a fresh one for each number of channels (Linux)."""
    for channels in counts:
        for method, way in (("trip_llm", "in groups"), ("trip_llm, all channels at once", "at once")):
            with measured() as cost:
                done = subprocess.run(
                    [sys.executable, "-c", MEASURE, str(channels), way], capture_output=True, text=True, check=True,
                    cwd=Path(__file__).parents[1],
                )  # fmt: skip
            found = json.loads(done.stdout)
            yield Row(
                data=f"training memory, {channels} channels", method=method, seconds=cost.seconds, peak_mb=found["peak"],
                metrics={"mb_of_training": found["peak"] - found["before"]}, note="64 windows a step; lower is better",
            )  # fmt: skip
