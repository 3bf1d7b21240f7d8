"""Questions that must come out right on real data, asked as a person would and answered through the whole conversation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from agent.reply import Reply
from agent.session import Session
from core.evidence import Interval, Region

DATA = Path(os.environ.get("TELLTALE_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.data


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (DATA / name).is_dir(), reason=f"real data set {name} not found under TELLTALE_DATA")


def ask(home: Path, question: str, files: Sequence[Path], normal: Sequence[Path] = ()) -> Reply:
    session = Session(home=home)
    *_, reply = session.ask(question, files=files, normal=normal)
    session.close()
    assert isinstance(reply, Reply)
    assert reply.removed == ()
    return reply


@needs("mvtec_bottle")
def test_which_of_these_bottles_are_broken_and_where(tmp_path: Path) -> None:
    from PIL import Image

    root = DATA / "mvtec_bottle"
    good = sorted((root / "test" / "good").glob("*"))[:8]
    broken = [
        p for kind in ("broken_large", "broken_small", "contamination") for p in sorted((root / "test" / kind).glob("*"))[:4]
    ]
    shown = tmp_path / "photos"
    shown.mkdir()
    truth: dict[str, np.ndarray | None] = {}
    for path in (*good, *broken):
        name = f"{path.parent.name}_{path.name}"
        (shown / name).write_bytes(path.read_bytes())
        mask = (
            next((root / "ground_truth" / path.parent.name).glob(f"{path.stem}*"), None) if path.parent.name != "good" else None
        )
        truth[name] = None if mask is None else np.asarray(Image.open(mask).convert("L")) > 127
    normal = sorted((root / "train" / "good").glob("*"))[:20]
    reply = ask(tmp_path / "home", "which of these bottles are broken, and where?", [shown], normal)
    found = {a.loci[0].sample for a in reply.anomalies}
    really = {name for name, mask in truth.items() if mask is not None}
    precision, recall = len(found & really) / max(len(found), 1), len(found & really) / len(really)
    print(f"bottles: precision {precision:.2f}, recall {recall:.2f}")
    hit = 0
    for anomaly in reply.anomalies:
        locus = anomaly.loci[0]
        assert isinstance(locus, Region)
        mask = truth[locus.sample]
        x0, y0, x1, y1 = (int(v) for v in locus.box)
        hit += mask is not None and bool(mask[y0:y1, x0:x1].any())
    print(f"bottles: {hit} of {len(found & really)} boxes touch the defect")
    assert precision >= 0.8
    assert recall >= 0.9
    assert hit >= 0.8 * len(found & really)


@needs("avenue")
def test_when_does_something_unusual_happen(tmp_path: Path) -> None:
    root = DATA / "avenue"
    video = next((root / "testing_videos").glob("*21*"))
    normal = sorted((root / "training_videos").glob("*.avi"))
    reply = ask(tmp_path, "when does something unusual happen?", [video], normal)
    labels = np.loadtxt(next((root / "testing_videos").glob("21_frame_label.txt")))
    overlap = best_overlap(reply, labels > 0, fps=25.0)
    print(f"avenue 21: tIoU of the top event {overlap:.2f}")
    assert overlap > 0.3


def best_overlap(reply: Reply, abnormal: np.ndarray, fps: float) -> float:
    """Temporal IoU of the strongest event with the labelled run it overlaps most."""
    locus = reply.anomalies[0].loci[0]
    assert isinstance(locus, Interval)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], abnormal.astype(int), [0]))))
    found = 0.0
    for first, end in zip(edges[::2] / fps, edges[1::2] / fps, strict=True):
        inside = max(0.0, min(end, locus.end_s) - max(first, locus.start_s))
        found = max(found, inside / (max(end, locus.end_s) - min(first, locus.start_s)))
    return found


@needs("smd")
def test_which_sensor_is_to_blame(tmp_path: Path) -> None:
    with np.load(DATA / "smd" / "machine-1-6.npz", allow_pickle=False) as machine:
        train, test = machine["train"], machine["test"]
        lines = str(machine["interpretation"]).splitlines()
    names = [f"metric_{i}" for i in range(1, 39)]
    segments = [(line.split(":")[0].split("-"), {int(d) for d in line.split(":")[1].split(",")}) for line in lines if ":" in line]
    (first, last), dims = max(((int(a), int(b)), d) for (a, b), d in segments if int(b) - int(a) >= 30)
    around = slice(max(0, first - 600), min(len(test), last + 600))
    pl.DataFrame(test[around], schema=names).write_parquet(tmp_path / "now.parquet")
    pl.DataFrame(train, schema=names).write_parquet(tmp_path / "history.parquet")
    reply = ask(tmp_path / "home", "which sensor is to blame?", [tmp_path / "now.parquet"], [tmp_path / "history.parquet"])
    start = around.start
    inside = [a for a in reply.anomalies if isinstance(a.loci[0], Interval)
              and a.loci[0].start_s + start <= last and a.loci[0].end_s + start > first]  # fmt: skip
    assert inside, "no abnormal stretch covers the labelled incident"
    locus = inside[0].loci[0]
    assert isinstance(locus, Interval)
    print(f"smd: blamed {locus.channels[:3]}, true metrics {sorted(dims)}")
    assert {int(c.split("_")[1]) for c in locus.channels[:3]} & dims


@needs("otrf_sysmon")
@pytest.mark.timeout(240)
def test_which_process_looks_malicious_and_what_did_it_do(tmp_path: Path) -> None:
    root = DATA / "otrf_sysmon"
    hidden = ("label", "key", "harness", "rule", "retimed", "scenario")
    capture = pl.read_parquet(root / "lsass01_mimikatz.parquet").filter(pl.col("harness") == 0)
    payload = {image.replace("\\", "/").rsplit("/", 1)[-1] for image in capture.filter(pl.col("key") == 1)["subj_image"].unique()}
    capture.drop(hidden, strict=False).write_parquet(tmp_path / "capture.parquet")
    normal = []
    for other in ("lsass02_procdump", "lsass03_comsvcs", "lsass04_outminidump"):
        benign = pl.read_parquet(root / f"{other}.parquet").filter((pl.col("label") == 0) & (pl.col("harness") == 0))
        normal.append(tmp_path / f"{other}.parquet")
        benign.drop(hidden, strict=False).write_parquet(normal[-1])
    reply = ask(tmp_path / "home", "which process looks malicious and what did it do?", [tmp_path / "capture.parquet"], normal)
    assert reply.anomalies
    top = [e for a in reply.anomalies[:3] for e in reply.evidence if e.id == a.evidence[0]]
    print("lsass01:", [e.facts.get("entities") or e.facts.get("entity") for e in top])
    said = " ".join(str(e.facts.get("entities") or e.facts.get("entity")) for e in top).replace("\\\\", "/").replace("\\", "/")
    assert any(name in said for name in payload)
    rows = [row for e in top for row in getattr(e.locus, "rows", ())]
    by_row = pl.read_parquet(root / "lsass01_mimikatz.parquet").filter(pl.col("harness") == 0)["label"]
    hits = [int(by_row[row - 1]) for row in rows]
    print(f"lsass01: {sum(hits)} of {len(hits)} cited rows belong to the attack")
    assert sum(hits) >= 0.5 * len(hits)
