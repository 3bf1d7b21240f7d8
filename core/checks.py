"""The detector contract as runnable, named checks; third parties run them on their own catalogue rows.

    for check in core.checks.checks_for(MY_SPEC, parameters={"side": 96}):
        check.run()  # raises ContractBroken, saying what was expected and what came

Every check builds what it needs from `core.synthetic`, so no data is needed. What a check demands is its function's docstring.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.archive import restate
from core.detector import Detector, DetectorSpec, parameters, teach
from core.errors import BadInput, NotFitted
from core.evidence import Evidence, Whole
from core.registry import Catalogue
from core.samples import KINDS, Sample, VideoClip
from core.score_shapes import (
    ContractBroken,
    demand,
    demand_shape,
    flat,
    place_labels,
    place_scores,
    ranking,
    unit_scores,
    widened,
)
from core.scores import Score
from core.synthetic import FLAVOURS, Case, anything, case, examples

HEAVY = ("torch", "torchvision", "timm", "transformers", "sentence_transformers", "sklearn", "matplotlib")
"""Packages that building a detector must not import."""
EVIDENCE_BYTES = 4096


@dataclass(frozen=True)
class Check:
    """One demand of the contract on one detector; `needs` is "gpu" when it can only run beside a CUDA device."""

    name: str
    run: Callable[[], None]
    needs: Literal["", "gpu"] = ""


class Subject:
    """The detector under test: how it is built, and scores that several checks look at, computed once."""

    def __init__(self, spec: DetectorSpec, chosen: Mapping[str, Any]) -> None:
        self.spec, self.chosen = spec, dict(chosen)

    def build(self, **more: Any) -> Detector:
        """A fresh detector."""
        return Catalogue([self.spec]).create(self.spec.name, **{**self.chosen, **more})

    @cached_property
    def case(self) -> Case:
        """The synthetic samples of its kind."""
        return case(self.spec.kind)

    @cached_property
    def batch(self) -> list[Sample]:
        """Unseen normal samples and, last, the odd one."""
        return [*self.case.unseen, self.case.odd]

    @cached_property
    def fitted(self) -> Detector:
        """A detector fitted on the normal samples."""
        return self.taught(self.build())

    def taught(self, detector: Detector, normal: Sequence[Sample] | None = None) -> Detector:
        """The detector, fitted on the normal samples, or others, and with abnormal ones where it learns from these too."""
        return teach(detector, self.case.normal if normal is None else normal, self.abnormal)

    @cached_property
    def abnormal(self) -> tuple[Sample, ...]:
        """Abnormal samples to learn from."""
        return examples(self.spec.kind) if self.spec.labelled else ()

    @cached_property
    def ready(self) -> Detector:
        """A detector in the state in which it can score: fitted only when it must be."""
        return self.fitted if self.spec.needs_fit else self.build()

    @cached_property
    def scores(self) -> Sequence[Score]:
        """What `fitted` says about `batch`."""
        return self.fitted.score(self.batch)


def checks_for(spec: DetectorSpec, *, parameters: Mapping[str, Any] | None = None) -> list[Check]:
    """The checks that apply to a detector; `parameters` are constructor values that make it small and fast.

    >>> from dataclasses import replace
    >>> from core.detector import DetectorSpec
    >>> spec = DetectorSpec(name="toy", class_path="toy:Toy", kind="series", needs_fit=True, transductive=True, cost="instant",
    ...     needs="embedded", use="A toy.", avoid_when="always", paper="none", licence="none")
    >>> "alone_as_in_batch" in [check.name for check in checks_for(spec)]
    False
    """
    subject = Subject(spec, parameters or {})
    gpu = {cpu_and_gpu_agree}
    left_out = {alone_as_in_batch} if spec.transductive else set()
    return [
        Check(function.__name__, partial(function, subject), "gpu" if function in gpu else "")
        for function in CHECKS
        if function not in left_out
    ]


def spec_is_complete(subject: Subject) -> None:
    """Every field of the row says something, the class can be imported and carries this very row."""
    spec = subject.spec
    empty = [f.name for f in fields(spec) if getattr(spec, f.name) == ""]
    demand(not empty, f"expected every field of the row filled, got empty {empty}.")
    demand(re.fullmatch(r"[a-z][a-z0-9_]*", spec.name) is not None, f"expected a snake_case name, got {spec.name!r}.")
    demand(spec.kind in KINDS, f"expected a kind among {KINDS}, got {spec.kind!r}.")
    detector = subject.build()
    demand(isinstance(detector, Detector), f"expected the methods of core.detector.Detector, got {dir(detector)}.")
    demand(detector.spec == spec, f"expected the detector's spec to be its catalogue row, got {detector.spec}.")


def constructor_is_plain(subject: Subject) -> None:
    """Constructor arguments are keyword-only, have plain defaults, and are stored under the same names."""
    detector = subject.build()
    for name, parameter in inspect.signature(type(detector).__init__).parameters.items():
        if name == "self":
            continue
        demand(
            parameter.kind is inspect.Parameter.KEYWORD_ONLY,
            f"expected {name!r} to be keyword-only, got {parameter.kind.description}.",
        )
        plain = parameter.default is None or isinstance(parameter.default, bool | int | float | str | tuple)
        demand(plain, f"expected a plain default for {name!r}, got {parameter.default!r}.")
        demand(hasattr(detector, name), f"expected the value of {name!r} stored as an attribute of that name.")
    kept = {name: parameters(detector)[name] for name in subject.chosen}
    demand(kept == subject.chosen, f"expected the given values {subject.chosen} stored unchanged, got {kept}.")
    json.dumps(parameters(detector))


def constructing_loads_nothing(subject: Subject) -> None:
    """Importing and building the detector imports no heavy package (asked in a fresh process)."""
    module, _, attribute = subject.spec.class_path.partition(":")
    code = f"import sys, {module}; {module}.{attribute}(**{subject.chosen!r}); print(*[m for m in {HEAVY!r} if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    demand(run.returncode == 0, f"expected a fresh process to build it, got: {run.stderr[-400:]}")
    demand(not run.stdout.split(), f"expected no heavy import, got {run.stdout.split()}.")


def unfitted_is_refused_or_scores(subject: Subject) -> None:
    """Before `fit`: NotFitted naming the detector when it needs normals, else scores; reference scores are empty."""
    fresh = subject.build()
    if subject.spec.needs_fit:
        try:
            fresh.score(subject.batch)
        except NotFitted as error:
            demand(subject.spec.name in str(error), f"expected the message to name {subject.spec.name!r}, got {error}")
        else:
            raise ContractBroken("expected NotFitted before fit, got scores.")
    else:
        for sample, score in zip(subject.batch, fresh.score(subject.batch), strict=True):
            demand_shape(sample, score)
        reference = subject.build().reference_scores()
        demand(len(reference) == 0, f"expected no reference scores before fit, got {len(reference)}.")


def empty_batch_is_refused(subject: Subject) -> None:
    """`score([])` and `fit([])` raise BadInput."""
    _demand_bad_input(lambda: subject.fitted.score([]), "score of an empty batch")
    _demand_bad_input(lambda: subject.taught(subject.build(), []), "fit on an empty batch")
    if subject.spec.labelled:
        _demand_bad_input(lambda: subject.build().fit(subject.case.normal), "fit without abnormal samples")


def results_fit_samples(subject: Subject) -> None:
    """One result per sample, in order, in the shapes, dtypes and ranges of DESIGN §2."""
    demand(len(subject.scores) == len(subject.batch), f"expected {len(subject.batch)} results, got {len(subject.scores)}.")
    for sample, score in zip(subject.batch, subject.scores, strict=True):
        demand_shape(sample, score)


def inputs_stay_untouched(subject: Subject) -> None:
    """Neither `fit` nor `score` changes what it was given."""
    before = [_fingerprint(sample) for sample in (*subject.case.normal, *subject.batch)]
    subject.taught(subject.build()).score(subject.batch)
    after = [_fingerprint(sample) for sample in (*subject.case.normal, *subject.batch)]
    demand(before == after, "expected untouched inputs, but fit or score changed a sample.")


def same_twice(subject: Subject) -> None:
    """Two detectors with the same values, fitted and asked alike, answer equally to the last bit."""
    again = subject.taught(subject.build()).score(subject.batch)
    _demand_equal(subject.scores, again, "a second detector", exact=True)


def order_does_not_matter(subject: Subject) -> None:
    """A permuted batch gives permuted scores."""
    order = np.random.default_rng(3).permutation(len(subject.batch))
    permuted = subject.fitted.score([subject.batch[i] for i in order])
    _demand_equal([subject.scores[i] for i in order], permuted, "a permuted batch")


def alone_as_in_batch(subject: Subject) -> None:
    """A sample's score does not depend on its batch (not asked of transductive detectors)."""
    alone = [subject.fitted.score([sample])[0] for sample in subject.batch]
    _demand_equal(subject.scores, alone, "samples scored alone")


def refit_replaces(subject: Subject) -> None:
    """A second `fit` replaces the first: fitting on other normals in between leaves no trace."""
    twice = subject.taught(subject.taught(subject.build(), subject.case.unseen))
    _demand_equal(subject.scores, twice.score(subject.batch), "a detector fitted before on something else", exact=True)


def save_and_load_keep_scores(subject: Subject) -> None:
    """`load(save(…))` scores equally, keeps parameters and reference scores, and refuses a damaged file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detector.npz"
        subject.fitted.save(path)
        loaded = type(subject.fitted).load(path)
        _demand_equal(subject.scores, loaded.score(subject.batch), "the loaded detector")
        ours, theirs = parameters(subject.fitted), parameters(loaded)
        demand(json.dumps(ours) == json.dumps(theirs), f"expected parameters {ours}, got {theirs}.")
        same = np.array_equal(subject.fitted.reference_scores(), loaded.reference_scores())
        demand(same, "expected the same reference scores after load.")
        path.write_bytes(path.read_bytes()[:100])
        _demand_bad_input(lambda: type(subject.fitted).load(path), "load of a truncated file")


def unusual_samples_are_handled_or_refused(subject: Subject) -> None:
    """Tiny, odd-sized, constant, zero, extreme and grey (or gappy) samples give fitting scores or BadInput, nothing else."""
    for size in (1, 2, 7, 33):
        for flavour in FLAVOURS if size == 33 else FLAVOURS[:2]:
            scored_or_refused(subject.ready, anything(subject.spec.kind, seed=1, size=size, flavour=flavour))


def scored_or_refused(detector: Detector, sample: Sample) -> bool:
    """True when `sample` was scored in the right shape, False when it was refused with BadInput.

    Raises:
        ContractBroken: the score does not fit, or another error came.
    """
    try:
        scores = detector.score([sample])
    except BadInput as error:
        demand(len(str(error)) > 20, f"expected the refusal of {sample.name!r} to say what was wrong, got {error}")
        return False
    except Exception as error:
        raise ContractBroken(f"{sample.name!r}: expected scores or BadInput, got {type(error).__name__}: {error}") from error
    demand_shape(sample, scores[0])
    return True


def wrong_input_is_refused(subject: Subject) -> None:
    """Samples of another kind and bare arrays raise BadInput that says what was expected and what came."""
    other = next(kind for kind in KINDS if kind != subject.spec.kind)
    wrongs: tuple[Any, ...] = (case(other).odd, np.full((33, 35, 3), np.nan), np.zeros((2, 2), np.float64), None)
    for wrong in wrongs:
        for what, ask in (("score", subject.fitted.score), ("fit", subject.build().fit)):
            message = _demand_bad_input(partial(ask, [wrong]), f"{what} of {type(wrong).__name__}")
            demand("expected" in message and "got" in message, f"expected 'expected …, got …' in the message, got {message}")


def planted_anomaly_is_found(subject: Subject) -> None:
    """As it comes (fitted only if it must be) and after `fit`: the odd part ranks above chance and the peak lies in it."""
    for detector, scores in ((subject.fitted, subject.scores), (subject.ready, None)):
        if scores is None and detector is subject.fitted:
            continue
        found = scores if scores is not None else detector.score(subject.batch)
        state = "after fit" if scores is not None else "without fit"
        _demand_found(subject, found, state)


def _demand_found(subject: Subject, scores: Sequence[Score], state: str) -> None:
    odd = scores[-1]
    place, labels = place_scores(odd), place_labels(odd, subject.case.mask)
    rank = ranking(labels.ravel(), place.ravel())
    demand(rank > 0.7, f"{state}: expected the planted anomaly to rank above chance (AUROC > 0.7), got {rank:.3f}.")
    margin = {"image": 8, "points": 6, "video": 1, "series": 48, "events": 0}[subject.spec.kind]
    peak = np.unravel_index(int(np.argmax(place)), place.shape)
    demand(
        bool(widened(labels, margin)[peak]),
        f"{state}: expected the peak inside the planted anomaly, got {tuple(map(int, peak))}.",
    )
    usual = [float(unit_scores(score).max()) for score in scores[:-1]]
    highest = float(unit_scores(odd).max())
    demand(
        highest > max(usual),
        f"{state}: expected the odd sample's highest score above the usual {max(usual):.4g}, got {highest:.4g}.",
    )


def reference_scores_are_honest(subject: Subject) -> None:
    """After `fit`: one-dimensional finite float32, and unseen normal data seldom exceeds them (they are held out, not refitted)."""
    reference = subject.fitted.reference_scores()
    ok = reference.ndim == 1 and reference.dtype == np.float32 and len(reference) > 0 and bool(np.isfinite(reference).all())
    demand(ok, f"expected finite float32 reference scores of rank 1, got {reference.dtype} of shape {reference.shape}.")
    unseen = np.concatenate([unit_scores(score) for score in subject.scores[:-1]])
    high = np.quantile(reference, 0.95) + 3 * reference.std() if len(reference) < 20 else np.quantile(reference, 0.99)
    above = float((unseen > high).mean())
    demand(above <= 0.35, f"expected few unseen normal scores above the references' top ({high:.4g}), got {100 * above:.0f} %.")


def evidence_is_small(subject: Subject) -> None:
    """The detector's parameters and a finding fit into evidence JSON below 4 kB."""
    detector = subject.fitted
    finding = Evidence(
        id="E1", tool=subject.spec.name, version=subject.spec.version, parameters=parameters(detector), source="odd",
        locus=Whole(sample="odd"), score=float(unit_scores(subject.scores[-1]).max()), seconds=1.0,
    )  # fmt: skip
    size = len(json.dumps(finding.to_json()))
    demand(size < EVIDENCE_BYTES, f"expected evidence JSON below {EVIDENCE_BYTES} bytes, got {size}.")


def docstring_is_useful(subject: Subject) -> None:
    """Class and module docstrings name shapes, units, errors and the source, with a runnable example."""
    cls = Catalogue([subject.spec]).detector_class(subject.spec.name)
    text = f"{inspect.getdoc(sys.modules[cls.__module__]) or ''}\n{cls.__doc__ or ''}"
    demanded = {
        "a shape such as (H, W)": r"\([A-Z]+,( ?[A-Z0-9]+)?\)|\([A-Z]+, [A-Z0-9, ]+\)",
        "a unit": r"pixel|second|row|sample unit|event",
        "the errors it raises": r"Raises|BadInput|NotFitted",
        "its source with a year": r"\b(19|20)\d\d\b",
        "an example": r">>> ",
    }
    missing = [what for what, pattern in demanded.items() if not re.search(pattern, text)]
    demand(not missing, f"expected the docstring of {cls.__name__} to have {', '.join(missing)}.")


def cpu_and_gpu_agree(subject: Subject) -> None:
    """On a CUDA device, in one number format, scores differ from the CPU's by 5 % of their range at most, and it can fit there too.

    What is compared was fitted once, on the CPU, as training magnifies the last digits; what is left is mostly the shorter numbers
    (TF32) that a GPU convolves with. Nothing to do without a `device` argument.
    """
    if "device" not in inspect.signature(type(subject.build()).__init__).parameters:
        return
    here = subject.taught(subject.build(device="cpu/fp32"))
    with tempfile.TemporaryDirectory() as folder:
        kept, moved = Path(folder, "kept.npz"), Path(folder, "moved.npz")
        here.save(kept)
        restate(kept, moved, name=subject.spec.name, device="cuda/fp32")
        there = type(here).load(moved)
    for cpu, gpu in zip(here.score(subject.batch), there.score(subject.batch), strict=True):
        spread = float(np.ptp(flat(cpu))) or 1.0
        worst = float(np.abs(flat(cpu) - flat(gpu)).max()) / spread
        demand(worst < 0.05, f"{cpu.sample!r}: expected CPU and GPU within 5 % of the range, got {100 * worst:.1f} %.")
    *usual, odd = subject.taught(subject.build(device="cuda")).score(subject.batch)
    highest, most = (max(float(unit_scores(score).max()) for score in scores) for scores in ([odd], usual))
    demand(highest > most, f"fitted on the GPU: expected the odd sample's score above the usual {most:.4g}, got {highest:.4g}.")


CHECKS: tuple[Callable[[Subject], None], ...] = (
    spec_is_complete, constructor_is_plain, constructing_loads_nothing, unfitted_is_refused_or_scores, empty_batch_is_refused,
    results_fit_samples, inputs_stay_untouched, same_twice, order_does_not_matter, alone_as_in_batch, refit_replaces,
    save_and_load_keep_scores, unusual_samples_are_handled_or_refused, wrong_input_is_refused, planted_anomaly_is_found,
    reference_scores_are_honest, evidence_is_small, docstring_is_useful, cpu_and_gpu_agree,
)  # fmt: skip


def _demand_bad_input(act: Callable[[], object], what: str) -> str:
    try:
        act()
    except BadInput as error:
        return str(error)
    except Exception as error:
        raise ContractBroken(f"{what}: expected BadInput, got {type(error).__name__}: {error}") from error
    raise ContractBroken(f"{what}: expected BadInput, got a result.")


def _demand_equal(ours: Sequence[Score], theirs: Sequence[Score], who: str, *, exact: bool = False) -> None:
    for a, b in zip(ours, theirs, strict=True):
        x, y = flat(a), flat(b)
        demand(x.shape == y.shape, f"{a.sample!r}: expected {x.shape} numbers from {who}, got {y.shape}.")
        spread = float(np.ptp(x)) or 1.0
        worst = float(np.abs(x - y).max()) / spread
        demand(
            worst <= (0.0 if exact else 1e-4),
            f"{a.sample!r}: expected equal scores from {who}, they differ by {worst:.2g} of their range.",
        )


def _fingerprint(sample: Sample) -> list[bytes | str]:
    """Every array of a sample as bytes; a clip is read again."""
    found: list[bytes | str] = [sample.name]
    if isinstance(sample, VideoClip):
        return [*found, *(frame.rgb.tobytes() for frame in sample.frames())]
    for f in fields(sample):
        value = getattr(sample, f.name)
        if isinstance(value, np.ndarray):
            array: NDArray[Any] = value
            found.append(array.tobytes())
        elif hasattr(value, "hash_rows"):  # the table of an event log
            found.append(str(value.columns) + str(value.hash_rows().to_list()))
    return found
