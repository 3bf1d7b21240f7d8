"""One detector on one input, written to a folder other programs can read (the `telltale detect` command).

Files: `scores.csv` and, by kind, `maps/<sample>.npy` (H, W) float32 | `channels.csv` | `paths.csv`; `run.json` comes last, so its
presence says the folder is complete. Every file is written under a temporary name in OUT and then moved; names of samples are
cleaned, so none can leave OUT.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from core.archive import write_atomic
from core.errors import BadInput, NotFitted
from core.progress import Sink, step, watching

if TYPE_CHECKING:
    from core.detector import Detector
    from core.samples import Kind, Sample
    from core.scores import EventScores, FrameScores, ImageScore, PointScores, Score

BATCH = 16
"""Pictures scored at once."""
Write = Callable[[str, bytes], None]


def detect(
    name: str, given: Path, *, out: Path, normal: Sequence[Path] = (), abnormal: Sequence[Path] = (),
    settings: Sequence[str] = (), kind: str | None = None, skim: bool = False,
    sink: Sink | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Run detector `name` on `given` and write its scores below `out`; return what `run.json` says.

    `normal` are references it is fitted on, `abnormal` examples for a detector that learns from these too; `settings` are "key=value"
    constructor parameters; `kind` overrides how the input is read; `skim` only takes a first look at videos; `sink` receives progress.

    Raises:
        UserError: unknown detector or parameter, unreadable input, missing normal references, `out` holds something else.
    """
    from core.detector import parameters, teach
    from core.samples import KINDS
    from readers.open import open_path
    from tools.catalog import catalogue

    started = time.perf_counter()
    rows = catalogue()
    spec = rows[name]
    if kind is not None and kind not in KINDS:
        raise BadInput(f"--kind {kind!r}: expected one of {', '.join(KINDS)}.")
    if spec.needs_fit and not normal:
        raise NotFitted.of(name)
    if abnormal and not spec.labelled:
        raise BadInput(f"--abnormal: {name!r} learns from normal samples only. See: telltale detectors")
    if skim and not hasattr(rows.detector_class(name), "skim"):
        raise BadInput(f"--skim: {name!r} takes no first look; expected a detector of long videos, such as 'frame_novelty'.")
    _check_out(out)
    source = open_path(given, kind=kind or spec.kind)
    if source.kind != spec.kind:
        raise BadInput(f"{name!r} scores {spec.kind}, but {source.name!r} was read as {source.kind}. See: telltale detectors")
    detector = rows.create(name, **_parsed(rows.detector_class(name), name, settings))
    read_normal: list[dict[str, str]] = []
    read_abnormal: list[dict[str, str]] = []
    with watching(sink):
        if normal:
            references, read_normal = _examples(normal, spec.kind, "--normal")
            examples, read_abnormal = _examples(abnormal, spec.kind, "--abnormal") if abnormal else ([], [])
            teach(detector, references, examples)
        written: list[str] = []
        remarks = list(source.notes)

        def write(path: str, data: bytes) -> None:
            try:
                write_atomic(out / path, data)
            except OSError as error:
                raise BadInput(f"--out {str(out)!r}: {path} could not be written ({error.strerror}). Free some space.") from error
            written.append(path)

        (out / "run.json").unlink(missing_ok=True)
        if spec.kind in ("image", "points"):
            _write_images(_scored(detector, source.samples, whole=spec.transductive), write)
        else:
            scores = [detector.skim(sample) for sample in source.samples] if skim else detector.score(source.samples)  # type: ignore[attr-defined]
            _write_scores(source.samples, scores, write)
            remarks += [note for score in scores for note in getattr(score, "notes", ())]
    run = {
        "program": "telltale detect", "version": version("telltale"), "detector": name, "detector_version": spec.version,
        "kind": spec.kind, "parameters": parameters(detector), "input": {"name": source.name, "sha256": source.sha256},
        "normal": read_normal, "abnormal": read_abnormal,
        "samples": len(source.samples), "notes": remarks, "files": len(written) + 1,
        "seconds": round(time.perf_counter() - started, 3), "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    write_atomic(out / "run.json", (json.dumps(run, indent=1, ensure_ascii=False, default=str) + "\n").encode())
    return run


def _examples(given: Sequence[Path], kind: Kind, option: str) -> tuple[list[Sample], list[dict[str, str]]]:
    """Samples of files or folders, and the names and digests of what they were read from."""
    from readers.open import open_all

    opened = open_all(given, kind=kind)
    if opened.refused or not opened.sources:
        raise BadInput(opened.refused[0].message if opened.refused else f"{option}: nothing could be read.")
    samples = [sample for found in opened.sources for sample in found.samples]
    return samples, [{"name": found.name, "sha256": found.sha256} for found in opened.sources]


def _check_out(out: Path) -> None:
    """Accept a new or empty folder, or one that an earlier run wrote."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out {str(out)!r}: expected a folder, got a file.")
    ours = (out / "run.json").is_file() or (out / "scores.csv").is_file()
    if out.is_dir() and any(out.iterdir()) and not ours:
        raise BadInput(f"--out {str(out)!r}: the folder holds other files; give a new or empty one.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {str(out)!r} cannot be made: {error.strerror}.") from error


def _parsed(cls: type, name: str, settings: Sequence[str]) -> dict[str, Any]:
    """Turn "key=value" into constructor values of the type their defaults have."""
    import inspect

    known = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise BadInput(f"--set {setting!r}: expected key=value.")
        default = known[key].default if key in known else None
        values[key] = typed(text, default, f"--set {key} (parameter of {name!r})")
    return values


def typed(text: str, default: Any, what: str) -> Any:
    """Read `text` as a value like `default`.

    >>> typed("8", 16, "side"), typed("0.5", 1.0, "share"), typed("[8, 16]", (8,), "strides"), typed("cpu", "auto", "device")
    (8, 0.5, (8, 16), 'cpu')
    >>> typed("8,16", (8,), "strides"), typed("('a', 'b')", ("a",), "members"), typed("a, b", ("a",), "members")
    ((8, 16), ('a', 'b'), ('a', 'b'))
    """
    value = _value(text)
    if isinstance(default, tuple) and not isinstance(value, list):  # as a person types it: with or without brackets
        value = [_value(part.strip().strip("'\"")) for part in text.strip("() ").split(",") if part.strip()]
    if isinstance(value, list):
        value = tuple(value)
    if isinstance(default, str):
        return text
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if default is None or isinstance(default, type) or type(value) is type(default):
        return value
    raise BadInput(f"{what}: expected {type(default).__name__} like {default!r}, got {text!r}.")


def _value(text: str) -> Any:
    """JSON where it is some, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _scored(detector: Detector, samples: Sequence[Sample], *, whole: bool) -> Iterator[ImageScore]:
    """Score pictures a few at a time, so that thousands of heatmaps never lie in memory; `whole` when they must be seen together."""
    size = len(samples) if whole else BATCH
    for first in range(0, len(samples), max(1, size)):
        batch = samples if whole else [samples[i] for i in range(first, min(first + size, len(samples)))]
        yield from detector.score(batch)  # type: ignore[misc]
        step("pictures", min(first + size, len(samples)), len(samples))


def _write_scores(samples: Sequence[Sample], scores: Sequence[Score], write: Write) -> None:
    """Write the files of sequences and logs; several in one input get a folder each."""
    from core.scores import EventScores, FrameScores, PointScores

    several = len(scores) > 1
    for index, (sample, score) in enumerate(zip(samples, scores, strict=True)):
        folder = f"{_clean(f'{index:03d} {sample.name}')}/" if several else ""
        if isinstance(score, FrameScores):
            _write_frames(sample, score, folder, write)
        elif isinstance(score, PointScores):
            _write_points(sample, score, folder, write)
        elif isinstance(score, EventScores):
            _write_events(score, folder, write)


def _write_images(scores: Iterable[ImageScore], write: Write) -> None:
    import numpy as np

    rows: list[tuple[Any, ...]] = []
    for score in scores:
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(score.heatmap, dtype=np.float32), allow_pickle=False)
        write(f"maps/{_clean(score.sample)}.npy", buffer.getvalue())
        rows.append((score.sample, repr(float(score.score))))
    write("scores.csv", _csv(("sample", "score"), sorted(rows)))


def _write_frames(sample: Sample, score: FrameScores, folder: str, write: Write) -> None:
    from core.frames import per_frame
    from core.samples import VideoClip

    assert isinstance(sample, VideoClip)
    if score.every_s is not None:  # a skim says nothing of the frames between
        units = zip(score.frame_index, score.seconds, score.scores, strict=True)
        read = [(int(number), f"{time_s:.6f}", repr(float(v))) for number, time_s, v in units]
        write(f"{folder}scores.csv", _csv(("frame", "time_s", "score"), read))
        return
    frames = [(frame.number, frame.time_s) for frame in sample.frames(max_side=32)]
    values = per_frame(score, [time_s for _, time_s in frames])
    rows = [(number, f"{time_s:.6f}", repr(float(v))) for (number, time_s), v in zip(frames, values, strict=True)]
    write(f"{folder}scores.csv", _csv(("frame", "time_s", "score"), rows))


def _write_points(sample: Sample, score: PointScores, folder: str, write: Write) -> None:
    import numpy as np

    from core.samples import Series

    assert isinstance(sample, Series)
    index = np.arange(len(score.scores)) if sample.rows is None else sample.rows - 1
    clock = sample.time_base == "clock" and sample.epoch_s is not None
    times = [_instant(sample.epoch_s or 0.0, float(t)) if clock else f"{float(t):.6f}" for t in sample.time_s]
    order = np.argsort(index, kind="stable")
    write(
        f"{folder}scores.csv",
        _csv(("index", "time", "score"), [(int(index[i]), times[i], repr(float(score.scores[i]))) for i in order]),
    )
    if score.channels is not None:
        names = score.channel_names or sample.channels
        rows = [(int(index[i]), times[i], *(f"{float(v):.6g}" for v in score.channels[i])) for i in order]
        write(f"{folder}channels.csv", _csv(("index", "time", *names), rows))


def _write_events(score: EventScores, folder: str, write: Write) -> None:
    rows = [(int(row), repr(float(value))) for row, value in zip(score.rows, score.scores, strict=True)]
    write(f"{folder}scores.csv", _csv(("row", "score"), rows))
    paths = [
        (rank, repr(float(path.score)), _json(path.entities), _json(path.rows), _json(path.steps))
        for rank, path in enumerate(score.paths, start=1)
    ]
    write(f"{folder}paths.csv", _csv(("rank", "score", "entities", "rows", "steps"), paths))


def _json(values: Sequence[Any]) -> str:
    return json.dumps(list(values), ensure_ascii=False)


def _instant(epoch_s: float, time_s: float) -> str:
    return datetime.fromtimestamp(epoch_s + time_s, UTC).isoformat(timespec="microseconds")


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def _clean(name: str) -> str:
    """A relative path that cannot leave its folder; names that had to change get a short hash, so that none collide.

    >>> _clean("good/001.png")
    'good/001.png'
    >>> _clean("../../etc/passwd").startswith("etc/passwd-")
    True
    """
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("..", ".", "/", "")]
    safe = ["".join(c if c.isprintable() and c not in ':*?"<>|' else "_" for c in part)[:120] for part in parts]
    path = "/".join(safe) or "sample"
    return path if path == name else f"{path}-{sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
