"""Small synthetic samples of every kind with one planted anomaly at a known place: the ground the contract checks stand on.

Made so that a swapped axis shows (height ≠ width, odd lengths, several channels) and that they cost milliseconds. Normal samples of
one kind vary (phase, noise, order), so nothing is found by mere identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.samples import EventLog, ImageSample, Kind, PointSample, Sample, Series, VideoClip

HEIGHT, WIDTH = 90, 120
BOX = (68, 22, 94, 46)
"""Planted region (x0, y0, x1, y1) in pixels of images and scans."""
CLIP_FRAMES, CLIP_FPS, CLIP_ODD = 51, 10.0, (30, 39)
ROWS, ODD_ROWS = 601, (400, 431)
EVENTS, ODD_EVENTS = 401, (300, 306)

Flavour: TypeAlias = Literal["usual", "constant", "zero", "extreme", "grey"]
FLAVOURS: tuple[Flavour, ...] = ("usual", "constant", "zero", "extreme", "grey")


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """Samples of one kind: `normal` to fit on, `unseen` normal ones, and `odd` with its anomaly at `mask`.

    `mask` is over what the score has one value for: (H, W) pixels, frames of the clip, time steps, or events.
    """

    kind: Kind
    normal: tuple[Sample, ...]
    unseen: tuple[Sample, ...]
    odd: Sample
    mask: NDArray[np.bool_]


def case(kind: Kind, *, seed: int = 0) -> Case:
    """The case of a kind.

    >>> made = case("image")
    >>> made.odd.pixels.shape, int(made.mask.sum())
    ((90, 120, 3), 624)
    """
    normals, unseens = {"image": (5, 3), "points": (5, 3), "video": (2, 2)}.get(kind, (3, 2))
    rngs = [np.random.default_rng((seed, index)) for index in range(normals + unseens + 1)]
    normal = tuple(_one(kind, f"normal {i}", rngs[i], odd=False) for i in range(normals))
    unseen = tuple(_one(kind, f"unseen {i}", rngs[normals + i], odd=False) for i in range(unseens))
    return Case(kind=kind, normal=normal, unseen=unseen, odd=_one(kind, "odd", rngs[-1], odd=True), mask=_mask(kind))


def examples(kind: Kind, count: int = 2, *, seed: int = 1) -> tuple[Sample, ...]:
    """Other samples with the same anomaly, for detectors that learn from abnormal samples too.

    >>> [sample.name for sample in examples("video")]
    ['abnormal 0', 'abnormal 1']
    """
    return tuple(_one(kind, f"abnormal {i}", np.random.default_rng((seed, i)), odd=True) for i in range(count))


def _mask(kind: Kind) -> NDArray[np.bool_]:
    if kind in ("image", "points"):
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
        return mask
    length, (first, end) = {
        "video": (CLIP_FRAMES, CLIP_ODD), "series": (ROWS, ODD_ROWS), "events": (EVENTS, ODD_EVENTS),
    }[kind]  # fmt: skip
    return (np.arange(length) >= first) & (np.arange(length) < end)


def _one(kind: Kind, name: str, rng: np.random.Generator, *, odd: bool) -> Sample:
    if kind == "image":
        return ImageSample(name=name, pixels=_picture(rng, HEIGHT, WIDTH, odd=odd))
    if kind == "points":
        return _scan(name, rng, HEIGHT, WIDTH, odd=odd)
    if kind == "video":
        return VideoClip.from_array(name, _clip(rng, CLIP_FRAMES, odd=odd), fps=CLIP_FPS)
    if kind == "series":
        return _series(name, rng, ROWS, 3, odd=odd)
    return _events(name, rng, EVENTS, odd=odd)


def _picture(rng: np.random.Generator, height: int, width: int, *, odd: bool) -> NDArray[np.uint8]:
    """A woven cloth, slightly shifted and lit anew; the odd one has a dark torn patch."""
    y, x = np.mgrid[0:height, 0:width]
    a, b = rng.uniform(0, 2 * np.pi, 2)
    weave = np.sin(2 * np.pi * x / 12 + a) * np.sin(2 * np.pi * y / 10 + b)
    grey = 120 + 38 * weave + 8 * rng.uniform(-1, 1) + rng.normal(0, 4, (height, width))
    picture = grey[..., None] * np.array([1.0, 0.94, 0.82])
    if odd:
        x0, y0, x1, y1 = BOX
        torn = 45 + 30 * rng.random((y1 - y0, x1 - x0, 1)) * np.array([1.5, 0.6, 0.5])
        picture[y0:y1, x0:x1] = torn
    return np.asarray(np.clip(picture, 0, 255), dtype=np.uint8)


def _scan(name: str, rng: np.random.Generator, height: int, width: int, *, odd: bool) -> PointSample:
    """A gently curved ribbed plate in millimetres with unmeasured spots; the odd one has a dent 2 mm deep."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    z = 300 + 0.002 * (x - width / 2) ** 2 + 0.3 * np.sin(x / 5 + rng.uniform(0, 6)) + rng.normal(0, 0.02, (height, width))
    if odd:
        cx, cy = (BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2
        z += 2.0 * np.clip(1 - ((x - cx) / 13) ** 2 - ((y - cy) / 12) ** 2, 0, None)
    xyz = np.stack([x * 0.5, y * 0.5, z], axis=-1).astype(np.float32)
    valid = rng.random((height, width)) > 0.01
    return PointSample(name=name, xyz=xyz, valid=valid, rgb=_picture(rng, height, width, odd=False))


def _clip(rng: np.random.Generator, length: int, *, odd: bool) -> NDArray[np.uint8]:
    """A textured yard (48×64) that two blocks keep crossing slowly; in the odd one a bright large block races through."""
    height, width = 48, 64
    ground = _picture(np.random.default_rng(99), height, width, odd=False).astype(np.float64)
    frames = np.empty((length, height, width, 3), np.uint8)
    starts = rng.uniform(0, 60, 2)
    for t in range(length):
        frame = ground + rng.normal(0, 2, ground.shape)
        for lane, start in zip((12, 34), starts, strict=True):
            left = int((start + t * 1.0) % (width - 6))
            frame[lane : lane + 9, left : left + 5] = (60, 40, 40)
        if odd and CLIP_ODD[0] <= t < CLIP_ODD[1]:
            left = int((t - CLIP_ODD[0]) * 5.0)
            frame[16:36, left : left + 20] = (245, 240, 60)
            frame[20:32:4, left : left + 20] = (20, 20, 200)
        frames[t] = np.clip(frame, 0, 255).astype(np.uint8)
    return frames


def _series(name: str, rng: np.random.Generator, rows: int, channels: int, *, odd: bool) -> Series:
    """Sensors that follow one cycle with different gains and lags; in the odd one channel 1 leaves it for 31 rows."""
    t = np.arange(rows)
    phase = rng.uniform(0, 2 * np.pi)
    columns = [
        (1 + 0.4 * m) * np.sin(2 * np.pi * t / 48 + phase - 0.3 * m) + 0.3 * np.sin(2 * np.pi * t / 12 + phase)
        for m in range(channels)
    ]
    values = np.stack(columns, axis=1) + rng.normal(0, 0.05, (rows, channels)) + 5.0 * np.arange(channels)
    if odd:
        values[ODD_ROWS[0] : ODD_ROWS[1], 1] += 3.0 + rng.normal(0, 0.5, ODD_ROWS[1] - ODD_ROWS[0])
    names = tuple(f"sensor {m}" for m in range(channels))
    return Series(
        name=name,
        values=values.astype(np.float32),
        time_s=np.asarray(t * 60.0, dtype=np.float64),
        channels=names,
        time_base="elapsed",
        rows=t.astype(np.int64),
    )


def _events(name: str, rng: np.random.Generator, count: int, *, odd: bool) -> EventLog:
    """Four programs doing their usual things; in the odd one a seldom seen program touches what nobody touches."""
    import polars as pl

    habits = (
        ("editor.exe", "write", ("report.doc", "letter.doc", "plan.doc")),
        ("browser.exe", "connect", ("10.0.0.5:443", "10.0.0.9:443")),
        ("backup.exe", "read", ("report.doc", "letter.doc", "plan.doc", "accounts.db")),
        ("shell.exe", "start", ("editor.exe", "browser.exe", "backup.exe")),
    )
    rows: list[tuple[str, str, str]] = []
    for _ in range(count):
        subject, operation, objects = habits[int(rng.choice(4, p=[0.35, 0.3, 0.25, 0.1]))]
        rows.append((subject, operation, objects[int(rng.integers(len(objects)))]))
    if odd:
        rows[ODD_EVENTS[0] : ODD_EVENTS[1]] = [
            ("editor.exe", "start", "loader.exe"), ("loader.exe", "read", "passwords.db"), ("loader.exe", "write", "dump.bin"),
            ("loader.exe", "connect", "203.0.113.7:8443"), ("loader.exe", "connect", "203.0.113.7:8443"),
            ("loader.exe", "delete", "dump.bin"),
        ]  # fmt: skip
    subjects, operations, objects_ = (list(column) for column in zip(*rows, strict=True))
    table = pl.DataFrame({
        "row": np.arange(1, count + 1), "time_s": np.cumsum(rng.exponential(20.0, count)),
        "subject": subjects, "operation": operations, "object": objects_,
    })  # fmt: skip
    return EventLog(name=name, table=table, roles={"subject": "subject", "operation": "operation", "object": "object"})


def anything(kind: Kind, *, seed: int, size: int, flavour: Flavour) -> Sample:
    """A valid sample of any `size` (side, frames, rows or events; ≥ 1) and `flavour`, to be scored or clearly refused.

    >>> anything("series", seed=1, size=1, flavour="constant").values.shape
    (1, 2)
    """
    rng = np.random.default_rng((seed, size))
    name = f"{flavour} {size}"
    if kind in ("image", "points"):
        height, width = size, size + 1 + size // 2
        picture = _flavoured(_picture(rng, height, width, odd=False), flavour)
        if kind == "image":
            return ImageSample(name=name, pixels=picture)
        scan = _scan(name, rng, height, width, odd=False)
        xyz = scan.xyz if flavour in ("usual", "grey") else np.zeros_like(scan.xyz)
        return PointSample(name=name, xyz=xyz, valid=np.ones((height, width), bool), rgb=None if flavour == "grey" else picture)
    if kind == "video":
        return VideoClip.from_array(name, _flavoured(_clip(rng, size, odd=False), flavour), fps=CLIP_FPS)
    if kind == "series":
        return _any_series(name, rng, size, flavour)
    log = _events(name, rng, size, odd=False)
    if flavour in ("constant", "zero"):
        import polars as pl

        text = "" if flavour == "zero" else "same"
        log = EventLog(name=name, table=log.table.with_columns(pl.lit(text).alias("object")), roles=log.roles)
    return log


def _flavoured(pixels: NDArray[np.uint8], flavour: Flavour) -> NDArray[np.uint8]:
    if flavour == "constant":
        return np.full_like(pixels, 130)
    if flavour == "zero":
        return np.zeros_like(pixels)
    if flavour == "extreme":
        return np.where(pixels > 120, 255, 0).astype(np.uint8)
    if flavour == "grey":
        return np.ascontiguousarray(np.repeat(pixels[..., :1], 3, axis=-1))
    return pixels


def _any_series(name: str, rng: np.random.Generator, rows: int, flavour: Flavour) -> Series:
    made = _series(name, rng, rows, 2, odd=False)
    values = made.values.copy()
    if flavour == "constant":
        values[:] = 7.0
    elif flavour == "zero":
        values[:] = 0.0
    elif flavour == "extreme":
        values *= np.float32(1e20)
    elif flavour == "grey":  # gaps: every fifth reading of one channel, and a whole stretch, are missing
        values[::5, 0] = np.nan
        values[rows // 3 : rows // 2] = np.nan
    return Series(name=name, values=values, time_s=made.time_s, channels=made.channels, time_base="elapsed")
