"""The bundled samples: small, made by the committed script, and abnormal exactly where their truth says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

SAMPLES = Path(__file__).parents[2] / "samples"
TRUTH = {entry["file"]: entry for entry in json.loads((SAMPLES / "truth.json").read_text(encoding="utf-8"))}


def _recipe(code: str) -> str:
    """Run a piece of the committed recipes in a process of its own and return what it prints."""
    pytest.importorskip("skimage", reason="scikit-image (extra dev) makes the samples")
    environment = {**os.environ, "PYTHONPATH": str(SAMPLES)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    return run.stdout


def test_everything_bundled_is_below_two_megabytes():
    files = [p for p in SAMPLES.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert sum(p.stat().st_size for p in files) < 2_000_000


def test_every_sample_is_described():
    text = (SAMPLES / "README.md").read_text(encoding="utf-8")
    for name, entry in TRUTH.items():
        assert name in text
        assert entry["anomalies"]


def test_pump_and_workstation_come_out_of_the_script_again(tmp_path):
    out = _recipe(
        "import json, sys; from pathlib import Path; from recipes import pump, workstation;"
        f"print(json.dumps([r.write(Path({str(tmp_path)!r})) for r in (pump, workstation)]))"
    )
    assert json.loads(out) == [TRUTH["pump.csv"], TRUTH["workstation.jsonl"]]
    assert (tmp_path / "workstation.jsonl").read_bytes() == (SAMPLES / "workstation.jsonl").read_bytes()
    ours, again = (pl.read_csv(folder / "pump.csv") for folder in (SAMPLES, tmp_path))
    assert ours.columns == again.columns
    assert ours["timestamp"].equals(again["timestamp"])
    assert np.abs(ours.drop("timestamp").to_numpy() - again.drop("timestamp").to_numpy()).max() <= 0.11  # last digit


def test_tiles_come_out_of_the_script_again(tmp_path):
    out = _recipe(
        "import json; from pathlib import Path; from recipes import tiles;"
        f"print(json.dumps(tiles.write(Path({str(tmp_path)!r}))))"
    )
    made = json.loads(out)
    assert made == TRUTH["tiles"]
    for name in ("tiles/tile_04.jpg", "tiles/tile_07.jpg", "tiles_normal/good_2.jpg"):
        ours, again = (np.asarray(Image.open(folder / name)).astype(int) for folder in (SAMPLES, tmp_path))
        assert np.abs(ours - again).mean() < 1.0


def test_defects_lie_inside_their_boxes():
    good = np.stack([np.asarray(Image.open(p)).astype(float) for p in sorted((SAMPLES / "tiles_normal").glob("*.jpg"))])
    for anomaly in TRUTH["tiles"]["anomalies"]:
        picture = np.asarray(Image.open(SAMPLES / anomaly["file"])).astype(float)
        x0, y0, x1, y1 = anomaly["box"]
        inside = picture[y0:y1, x0:x1].mean(axis=2)
        usual = good[:, 100:280, 100:280].mean(axis=3)
        assert np.percentile(inside, 2) < np.percentile(usual, 2) - 10  # both defects are darker than any stone


def test_the_van_comes_and_goes_when_the_truth_says():
    import av

    truth = TRUTH["crossing.mp4"]
    anomaly = truth["anomalies"][0]
    assert (round(anomaly["start_s"]), round(anomaly["end_s"])) == (12, 15)
    with av.open(str(SAMPLES / "crossing.mp4")) as container:
        frames = np.stack([f.to_ndarray(format="gray")[::2, ::2] for f in container.decode(video=0)]).astype(np.float32)
    assert len(frames) == truth["seconds"] * truth["fps"]
    lane = frames[:, 52:75]  # the strip of pavement that the body of the van covers
    changed = (np.abs(lane - np.median(frames[:150, 52:75], axis=0)) > 40).mean(axis=(1, 2))
    seconds = np.arange(len(frames)) / truth["fps"]
    during = (seconds >= anomaly["start_s"] + 0.4) & (seconds < anomaly["end_s"] - 0.4)
    outside = (seconds < anomaly["start_s"]) | (seconds >= anomaly["end_s"])
    assert changed[during].min() > changed[outside].max()


def test_pump_faults_are_where_the_truth_says():
    table = pl.read_csv(SAMPLES / "pump.csv")
    spike, drift, stuck = TRUTH["pump.csv"]["anomalies"]
    for fault in (spike, drift, stuck):
        assert table["timestamp"][fault["first_row"]] == fault["start"]
    vibration = table["vibration [mm/s]"].to_numpy()
    assert spike["first_row"] <= int(vibration.argmax()) < spike["end_row"]
    bearing = table["bearing_temp [°C]"].to_numpy()
    assert drift["first_row"] <= int(bearing.argmax()) < drift["end_row"]
    flow = table["flow [m3/h]"].to_numpy()
    assert set(flow[stuck["first_row"] : stuck["end_row"]]) == {flow[stuck["first_row"]]}


def test_the_break_in_is_on_the_lines_the_truth_says():
    lines = [json.loads(line) for line in (SAMPLES / "workstation.jsonl").read_text(encoding="utf-8").splitlines()]
    truth = TRUTH["workstation.jsonl"]
    anomaly = truth["anomalies"][0]
    assert len(lines) == truth["events"]
    chain = [lines[row - 1] for row in anomaly["rows"]]
    assert any(
        e["EventID"] == 10 and e["TargetImage"].endswith(anomaly["target"]) and "svcupd" in e["SourceImage"] for e in chain
    )
    elsewhere = [e for row, e in enumerate(lines, start=1) if row not in set(anomaly["rows"])]
    assert not any("svcupd" in json.dumps(e) or e.get("DestinationIp") == anomaly["address"] for e in elsewhere)
