"""Checks of rules in words on real data: a definition, its opposite, a source, and what is true there.

Truth comes from the sets' own labels; for series and logs it is computed here from the raw file with numpy and polars alone, by a
reading of the sentence that shares no code with the rules engine. Events are half-open seconds (rows of a file without times), rows
of a log count from 1 in the file's order. Channels and round thresholds of the condition rules were taken so that each sentence form
occurs and rules hold in some files and not in others; no constant of the engine was chosen on any of this. Clips on which the tracker's
thresholds were set are marked `development`.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import folder
from core.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

Span = tuple[float, float]
DEVELOPMENT = frozenset({"Subject_3_Fall_19", "Subject_3_ADL_19", "avenue 12", "avenue 16"})
"""Clips that the tracker's thresholds were set on (docs/tracks.md); so were the 18 everyday clips of surv_fights, without their labels. The
other clips were looked at to learn why acts were missed, but no number was taken from them."""
AVENUE_KINDS: Mapping[str, tuple[str, ...]] = {"17": (), "19": ("wrong direction",), "21": ("running",), "12": (), "16": ()}
"""What happens in the labelled stretches of avenue, read off the pictures: a man stands and throws (17), a man walks towards the
camera, across the way of the others (19), a child runs (21). The two training clips are normal. In 08 a child skips and plays, which
is neither clearly running nor clearly not: it is left out. No clip has a bicycle."""
SMD_PER_HOUR = 60.0
"""Rows per hour of the server machines: one reading a minute."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question to the rules engine: is `source` abnormal under `rule`; under `inverse` it is the other way round.

    `events` is where it happens (None: the set tells only whether), `rows` the same for a log of `n_rows`; `hours` is the length of
    the source, `per_hour` how many units of its events an hour has (seconds, or rows of a series without times).
    """

    source: Path
    rule: str
    inverse: str
    abnormal: bool
    events: tuple[Span, ...] | None = None
    rows: frozenset[int] | None = None
    n_rows: int = 0
    hours: float = 0.0
    per_hour: float = 3600.0
    development: bool = False


def falls(root: Path) -> list[Check]:
    """Is "a person falling" an anomaly in each clip of gmdcsa24_falls, and when; the labels count lying afterwards in.

    Raises:
        BadInput: the set is not below `root`, or its table cannot be read.
    """
    place = folder(root, "gmdcsa24_falls")
    checks = []
    with (place / "labels.csv").open(newline="", encoding="utf-8") as table:
        for line in csv.DictReader(table):
            spans = fall_spans(line["classes_with_seconds"])
            checks.append(
                Check(
                    source=place / line["file"], rule="a person falling is an anomaly", inverse="a person falling is normal",
                    abnormal=bool(spans), events=spans, hours=_hours(place / line["file"]),
                    development=Path(line["file"]).stem in DEVELOPMENT,
                )
            )  # fmt: skip
    return checks


def fall_spans(states: str) -> tuple[Span, ...]:
    """The stretches of falling in the table's list of states.

    >>> fall_spans("Falling (SW)[3.4 to 6]; Sitting[0 to 3.4]")
    ((3.4, 6.0),)
    """
    found = re.findall(r"Falling[^\[;]*\[\s*([\d.]+)\s*to\s*([\d.]+)\s*\]", states)
    return tuple((float(a), float(b)) for a, b in found)


def fights(root: Path) -> list[Check]:
    """Is "people fighting" an anomaly in each clip of surv_fights; the set tells no times.

    Raises:
        BadInput: the set is not below `root`.
    """
    place = folder(root, "surv_fights")
    return [
        Check(
            source=path, rule="people fighting is an anomaly", inverse="people fighting is normal", abnormal=path.parent.name == "fight",
        )
        for kind in ("fight", "noFight") for path in sorted((place / kind).glob("*.mp4"))
    ]  # fmt: skip


AVENUE_RULES: Mapping[str, tuple[str, str]] = {
    "running": ("someone running is an anomaly", "someone running is normal"),
    "bicycle": ("a bicycle is an anomaly", "a bicycle is normal"),
    "wrong direction": (
        "someone walking in the wrong direction is an anomaly",
        "someone walking in the wrong direction is normal",
    ),
}


def avenue(root: Path, kind: str) -> list[Check]:
    """One of AVENUE_RULES on avenue's clips, with the labelled stretches of that kind.

    Raises:
        BadInput: the set is not below `root`.
    """
    from benchmarks import video_sets

    place = folder(root, "avenue")
    stretches = {Path(one.clip.name).stem: one.segments for one in video_sets.avenue(root, masks=False)[1]}
    rule, inverse = AVENUE_RULES[kind]
    checks = []
    for path in sorted(place.glob("t*_videos/*.avi")):
        if path.stem not in AVENUE_KINDS:
            continue
        spans = tuple((float(a), float(b)) for a, b in stretches[path.stem]) if kind in AVENUE_KINDS[path.stem] else ()
        checks.append(
            Check(
                source=path, rule=rule, inverse=inverse, abnormal=bool(spans), events=spans, hours=_hours(path),
                development=f"avenue {path.stem}" in DEVELOPMENT,
            )
        )  # fmt: skip
    return checks


def _hours(path: Path) -> float:
    from benchmarks.video_sets import read_clip

    return read_clip(path).duration_s / 3600


EXCEPTIONS = ("spilled liquid",)
"""Checks of the laboratory whose content is what must not be; all others tell what must be."""


def laboratory(root: Path) -> list[Check]:
    """The laboratory's checks as definitions: "it is normal that …" with the words of the check, and its verdict.

    Raises:
        BadInput: the set is not below `root`, or a check is worded in another way.
    """
    place = folder(root, "sdls_lab")
    records = json.loads((place / "annotation_subset.json").read_text(encoding="utf-8"))
    checks = []
    for record in records:
        said = statement(record["Detection_Content"])
        texts = f"it is normal that {said}", f"it is an anomaly that {said}"
        rule, inverse = texts[::-1] if any(words in said for words in EXCEPTIONS) else texts
        checks.append(
            Check(source=place / record["Image_Id"], rule=rule, inverse=inverse, abnormal=bool(record["Anomaly_Label"]))
        )
    return checks


def statement(content: str) -> str:
    """What a check of the laboratory states.

    >>> statement("Check near the tray (tp) whether the gripper holds a test tube.")
    'the gripper holds a test tube near the tray (tp)'
    """
    match = re.fullmatch(r"Check (?:(?P<where>.+?) )?whether (?P<said>.+?)\.?", content.strip())
    if match is None:
        raise BadInput(f"sdls_lab: expected “Check … whether …”, got {content!r}.")
    return " ".join(part for part in (match["said"], match["where"]) if part)


Holds = Callable[[NDArray[np.float32]], NDArray[np.bool_]]
SERIES_RULES: tuple[tuple[str, Holds, int], ...] = (
    ("channel_12 above 0.9", lambda x: x[:, 12] > 0.9, 1),
    ("channel_2 above 0.5 for more than 10 rows", lambda x: x[:, 2] > 0.5, 11),
    ("channel_13 at least 0.3 for at least 5 rows", lambda x: x[:, 13] >= 0.3, 5),
    ("channel_1 is between 0.3 and 0.4 for 3 readings in a row", lambda x: (x[:, 1] >= 0.3) & (x[:, 1] <= 0.4), 3),
    ("channel_30 outside 0.1 to 0.9 for more than 2 rows", lambda x: (x[:, 30] < 0.1) | (x[:, 30] > 0.9), 3),
    ("channel_8 below 0.02 while channel_9 above 0.2", lambda x: (x[:, 8] < 0.02) & (x[:, 9] > 0.2), 1),
    ("channel_3 above 0.5 and channel_4 above 0.5 for at least 4 rows", lambda x: (x[:, 3] > 0.5) & (x[:, 4] > 0.5), 4),
    ("channel_3 above 0.5 while channel_12 above 0.3 for more than 3 rows", lambda x: (x[:, 3] > 0.5) & (x[:, 12] > 0.3), 4),
    ("channel_19 at most 0.1 for at least 60 rows", lambda x: x[:, 19] <= 0.1, 60),
    ("channel_22 equal to 1", lambda x: x[:, 22] == 1, 1),
)
"""Definition, where it holds in (T, 38) readings, and how many rows in a row are the least."""
UNTIMED_RULE = "channel_1 rises by more than 0.3 within 5 minutes"
"""The files have no times, so this cannot be told from them."""


def machines(root: Path) -> list[Check]:
    """SERIES_RULES on the server machines: the events are the runs of rows in which the condition holds, long enough.

    Raises:
        BadInput: the set is not below `root`.
    """
    checks = []
    for path in sorted(folder(root, "smd").glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            readings = np.asarray(arrays["test"], dtype=np.float32)
        hours = len(readings) / SMD_PER_HOUR
        for said, holds, least in SERIES_RULES:
            events = runs(holds(readings), least)
            checks.append(
                Check(source=path, rule=f"{said} is an anomaly", inverse=f"{said} is normal", abnormal=bool(events), events=events,
                      hours=hours, per_hour=SMD_PER_HOUR)
            )  # fmt: skip
        rise = np.lib.stride_tricks.sliding_window_view(readings[:, 1], 6)
        checks.append(
            Check(source=path, rule=f"{UNTIMED_RULE} is an anomaly", inverse=f"{UNTIMED_RULE} is normal", hours=hours,
                  per_hour=SMD_PER_HOUR, abnormal=bool((rise[:, -1] - rise.min(axis=1) > 0.3).any()))
        )  # fmt: skip
    return checks


def runs(mask: NDArray[np.bool_], least: int) -> tuple[Span, ...]:
    """Half-open runs of at least `least` True in a row.

    >>> runs(np.array([True, True, False, True]), 2)
    ((0.0, 2.0),)
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return tuple((float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= least)


POWERSHELLS = ("powershell.exe", "pwsh.exe", "powershell_ise.exe")
Chosen = Callable[["pl.DataFrame"], NDArray[np.bool_]]
LOG_RULES: tuple[tuple[str, Chosen, int, float], ...] = (
    ("PowerShell started by wmiprvse.exe", lambda t: _did(t, "create_process", ("wmiprvse.exe",), POWERSHELLS), 1, 0.0),
    ("PowerShell started by cmd.exe", lambda t: _did(t, "create_process", ("cmd.exe",), POWERSHELLS), 1, 0.0),
    ("any process that opens lsass.exe", lambda t: _did(t, "access_process", (), ("lsass.exe",)), 1, 0.0),
    ("rundll32.exe loading comsvcs.dll", lambda t: _did(t, "load_image", ("rundll32.exe",), ("comsvcs.dll",)), 1, 0.0),
    ("any process that injects code into another process", lambda t: _did(t, "inject_thread", (), ()), 1, 0.0),
    ("cmd.exe started by anything", lambda t: _did(t, "create_process", (), ("cmd.exe",)), 1, 0.0),
    ("more than 20 file deletes within a minute", lambda t: _did(t, "delete_file", (), ()), 21, 60.0),
    ("more than 30 processes started within 10 seconds", lambda t: _did(t, "create_process", (), ()), 31, 10.0),
    ("more than 5 connections within a second", lambda t: _did(t, "connect", (), ()), 6, 1.0),
)
"""Definition, rows that show it, and how many within how many seconds (1: each row alone)."""


def captures(root: Path) -> list[Check]:
    """LOG_RULES on the captures of otrf_sysmon: the rows that show it, from the raw table.

    Raises:
        BadInput: the set is not below `root`.
    """
    import polars as pl

    checks = []
    for path in sorted(folder(root, "otrf_sysmon").glob("*.parquet")):
        table = pl.read_parquet(path)
        seconds = table["time"].dt.epoch("us").to_numpy() / 1e6
        for said, chosen, count, within_s in LOG_RULES:
            rows = np.flatnonzero(chosen(table))
            if count > 1:
                rows = crowded(rows, seconds, count, within_s)
            checks.append(
                Check(source=path, rule=f"{said} is an anomaly", inverse=f"{said} is normal", abnormal=bool(len(rows)),
                      rows=frozenset(int(row) + 1 for row in rows), n_rows=table.height, hours=float(np.ptp(seconds)) / 3600)
            )  # fmt: skip
    return checks


def _did(table: pl.DataFrame, operation: str, subjects: Sequence[str], objects: Sequence[str]) -> NDArray[np.bool_]:
    """Rows of one operation whose subject and object end in one of the names; any without names."""
    mask = (table["op"] == operation).to_numpy()
    for column, names in (("subj_image", subjects), ("obj_name", objects)):
        if names:
            last = [PureWindowsPath(value or "").name.lower() for value in table[column].to_list()]
            mask = mask & np.isin(last, names)
    return np.asarray(mask, np.bool_)


def crowded(rows: NDArray[np.intp], seconds: NDArray[np.float64], count: int, within_s: float) -> NDArray[np.intp]:
    """Those of `rows` that lie with at least `count` of them in some window [t, t + within_s).

    >>> crowded(np.array([0, 1, 2, 3]), np.array([0.0, 1.0, 2.0, 9.0]), 3, 5.0).tolist()
    [0, 1, 2]
    """
    times = seconds[rows]
    full = np.zeros(len(rows), np.bool_)
    for start in times:
        inside = (times >= start) & (times < start + within_s)
        if inside.sum() >= count:
            full |= inside
    return rows[full]
