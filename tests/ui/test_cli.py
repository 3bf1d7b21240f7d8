"""The command line in-process: exit codes, one clear line for bad input, the files `detect` writes."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.detector import DetectorSpec
from core.registry import Catalogue
from core.samples import Series, VideoClip
from core.scores import ImageScore
from models.chat.tiers import FORMS
from ui.cli import main
from ui.detect import detect

ROOT = Path(__file__).parents[2]


class Run:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def telltale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("TELLTALE_HOME", str(tmp_path / "home"))

    def run(*args: object) -> Run:
        with pytest.raises(SystemExit) as end:
            main([str(arg) for arg in args])
        said = capsys.readouterr()
        return Run(int(end.value.code or 0), said.out, said.err)

    return run


def pump(path: Path, rows: int = 600) -> Path:
    rng = np.random.default_rng(0)
    t = np.arange(rows)
    flow = np.sin(t / 9) + 0.05 * rng.standard_normal(rows)
    heat = np.cos(t / 9) + 0.05 * rng.standard_normal(rows)
    flow[400:420] += 4
    path.write_text("flow,heat\n" + "\n".join(f"{a:.4f},{b:.4f}" for a, b in zip(flow, heat, strict=True)))
    return path


# help and lists


def test_help_is_quick_and_loads_no_torch():
    probe = "import sys; from ui.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    probe += "print([m for m in ('torch', 'gradio', 'numpy', 'transformers', 'langgraph') if m in sys.modules], file=sys.stderr)"
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=True)
        seconds.append(time.perf_counter() - started)
    assert done.stderr.strip() == "[]"
    assert "detect" in done.stdout
    assert min(seconds) < 0.5, seconds  # the best of five: other processes share the machine


def test_detectors_lists_the_catalogue(telltale):
    from tools.catalog import catalogue

    assert [row["name"] for row in json.loads(telltale("detectors", "--json").out)] == list(catalogue())
    table = telltale("detectors")
    assert table.code == 0
    assert all(name in table.out for name in catalogue())


def test_models_list_verifies_the_embedded_weights(telltale):
    rows = [row for row in json.loads(telltale("models", "list", "--json").out) if row["kind"] == "embedded"]
    assert [row["verified"] for row in rows] == [True, True]
    assert {row["licence"] for row in rows} == {"Apache-2.0"}


def test_doctor_fails_when_the_home_folder_cannot_be_used(telltale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TELLTALE_HOME", str(tmp_path / "file"))
    run = telltale("doctor", "--json")
    bad = [check["name"] for check in json.loads(run.out) if not check["ok"]]
    assert run.code == 2
    assert "home folder" in bad


# user errors


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["ask"], "at least one file"),
        (["ask", "--thread", "nope", "-q", "x"], "no such chat"),
        (["detect", "patch_serch", "x", "--out", "o"], "Did you mean 'patch_search'"),
        (["detect", "patch_search", "x", "--out", "o"], "--normal"),
        (["detect", "window_pca", "missing.csv", "--out", "o"], "missing.csv"),
        (["detect", "window_pca", "missing.csv", "--out", "o", "--kind", "smell"], "--kind 'smell'"),
        (["detect", "window_pca", "a.csv", "--out", "o", "--abnormal", "b.csv"], "'window_pca' learns from normal samples only"),
        (["detect", "mil_ranking", "a.mp4", "--out", "o", "--abnormal", "b.mp4"], "give --normal"),
        (["report", "nope", "--out", "r.html"], "no chat 'nope'"),
        (["ui", "--auth", "ann"], "user:password"),
        (["ui", "--model", "embeded"], "Did you mean 'embedded'"),
        (["ui", "--model", "endpoint:eyes"], "server's address"),
    ],
)
def test_user_errors_are_one_line_and_exit_2(
    telltale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], said: str
):
    monkeypatch.chdir(tmp_path)
    run = telltale(*args)
    assert run.code == 2
    assert said in run.err
    assert run.err.count("\n") == 1
    assert run.out == ""


def test_the_forms_of_a_model_are_in_the_help(telltale):
    for command in ("ask", "ui"):
        said = " ".join(telltale(command, "--help").out.split())
        assert all(form.split("@")[0] in said for form in FORMS.values()), said


def test_what_leaves_this_machine_is_said_before_the_first_question(telltale, tmp_path: Path):
    series = pump(tmp_path / "pump.csv")
    far = telltale("ask", series, "-q", "hello", "--model", "endpoint:eyes@https://gpu.example.org/v1")
    assert far.code == 0
    assert (
        far.err.splitlines()[0]
        == "telltale: Questions, evidence and pictures of this chat are sent to gpu.example.org, encrypted."
    )
    near = telltale("ask", series, "-q", "hello", "--model", "endpoint:eyes@http://127.0.0.1:9/v1")
    assert near.code == 0
    assert "are sent to" not in near.err


def hostile(folder: Path) -> dict[str, Path]:
    """Files nobody can use, by what is wrong with them."""
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    Image.fromarray(noise).save(folder / "whole.png")
    data = (folder / "whole.png").read_bytes()
    made = {
        "empty": ("empty.png", b""),
        "truncated": ("truncated.png", data[: len(data) // 3]),
        "mislabelled": ("picture.mp4", b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n"),
        "zero frames": ("none.mp4", b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + b"\x00\x00\x00\x08mdat"),
        "all NaN": ("nan.csv", b"time,a\n0,nan\n1,nan\n2,nan\n3,nan\n"),
        "one row": ("one.csv", b"time,a,b\n0,1.5,2.5\n"),
        "binary": ("noise.csv", bytes(range(256)) * 40),
        "unicode name": ("写真 \u202egnp.png", b"\x89PNG\r\n\x1a\nbroken"),
        "markup name": ("<img src=x onerror=alert(1)>.png", b"GIF89a"),
    }
    for name, content in made.values():
        (folder / name).write_bytes(content)
    return {what: folder / name for what, (name, _) in made.items()}


WRONG = ["empty", "truncated", "mislabelled", "zero frames", "all NaN", "one row", "binary", "unicode name", "markup name"]


@pytest.mark.parametrize("what", WRONG)
def test_ask_refuses_an_unusable_file_in_one_sentence(telltale, tmp_path: Path, what: str):
    run = telltale("ask", hostile(tmp_path)[what], "-q", "what is wrong?")
    assert run.code == 2
    refusals = [line for line in run.err.splitlines() if "not read" in line]
    assert len(refusals) == 1
    assert "Traceback" not in run.err
    assert not any(ord(c) < 32 or c in "\u202e\u202d" for c in refusals[0])


@pytest.mark.parametrize("what", WRONG)
def test_detect_refuses_an_unusable_file_in_one_sentence(telltale, tmp_path: Path, what: str):
    path = hostile(tmp_path)[what]
    name = {".csv": "window_pca", ".mp4": "frame_novelty"}.get(path.suffix, "intrinsic")
    run = telltale("detect", name, path, "--out", tmp_path / "out")
    assert run.code == 2
    assert run.err.startswith("telltale: ")
    assert run.err.count("\n") == 1
    assert not (tmp_path / "out" / "run.json").exists()


def test_ask_answers_on_the_good_files_and_names_the_bad(telltale, tmp_path: Path):
    bad = hostile(tmp_path)["empty"]
    run = telltale("ask", pump(tmp_path / "pump.csv"), bad, "-q", "when does something unusual happen?", "--json")
    answer = json.loads(run.out)
    assert run.code == 0
    assert [row["name"] for row in answer["refused"]] == ["empty.png"]
    assert answer["status"] == "abnormal"
    assert answer["evidence"]
    assert "empty.png" in run.err


def test_a_question_among_the_files_is_taken_as_one(telltale, tmp_path: Path):
    path = pump(tmp_path / "pump.csv")
    asked, named = telltale("ask", "how long is the recording?", path), telltale("ask", path, "-q", "how long is the recording?")
    assert asked.code == 0
    assert asked.out.splitlines()[0] == named.out.splitlines()[0]
    assert "no such file" not in asked.out


def test_ask_goes_on_with_a_chat_and_reports_it(telltale, tmp_path: Path):
    first = json.loads(telltale("ask", pump(tmp_path / "pump.csv"), "-q", "when is it unusual?", "--json").out)
    again = telltale("ask", "--thread", first["thread"], "-q", "which channel is to blame?")
    assert again.code == 0
    assert "flow" in again.out
    out = tmp_path / "report.html"
    assert telltale("report", first["thread"], "--out", out).code == 0
    page = out.read_text(encoding="utf-8")
    assert page.count("<article>") == 2
    assert "<svg" in page


# detect


class Brightness:
    """A stand-in image detector: the heatmap is the red channel, so that maps can be checked exactly."""

    spec = DetectorSpec(
        name="brightness", class_path="", kind="image", needs_fit=False, transductive=False, cost="instant", needs="embedded",
        use="", avoid_when="", paper="", licence="",
    )  # fmt: skip

    def __init__(self, *, gain: float = 1.0, side: int = 8) -> None:
        self.gain, self.side = gain, side

    def score(self, batch):
        maps = [(sample.pixels[..., 0] * self.gain).astype(np.float32) for sample in batch]
        return [ImageScore(sample=s.name, score=float(m.max()), heatmap=m) for s, m in zip(batch, maps, strict=True)]


@pytest.fixture
def brightness(monkeypatch: pytest.MonkeyPatch):
    rows = Catalogue([Brightness.spec])
    monkeypatch.setattr(rows, "detector_class", lambda name: Brightness)
    monkeypatch.setattr("tools.catalog.catalogue", lambda: rows)


def test_detect_writes_one_map_per_picture_of_a_folder_tree(brightness, tmp_path: Path):
    given = tmp_path / "in"
    for index, name in enumerate(["b.png", "good/a.png", "good/deep/c.png"]):
        (given / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((7, 9 + index, 3), 10 * index + 5, np.uint8)).save(given / name)
    run = detect("brightness", given, out=tmp_path / "out", settings=["gain=2"])
    rows = list(csv.DictReader((tmp_path / "out" / "scores.csv").open()))
    assert [row["sample"] for row in rows] == ["b.png", "good/a.png", "good/deep/c.png"]
    assert [float(row["score"]) for row in rows] == [10.0, 30.0, 50.0]
    heat = np.load(tmp_path / "out" / "maps" / "good" / "deep" / "c.png.npy", allow_pickle=False)
    assert heat.shape == (7, 11)
    assert heat.dtype == np.float32
    assert run["parameters"] == {"gain": 2.0, "side": 8}
    assert not list((tmp_path / "out").rglob(".*"))


def test_detect_checks_settings(brightness, telltale, tmp_path: Path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    for setting, said in (("gian=2", "Did you mean 'gain'"), ("side=wide", "expected int"), ("side", "key=value")):
        run = telltale("detect", "brightness", tmp_path / "a.png", "--out", tmp_path / "out", "--set", setting)
        assert run.code == 2
        assert said in run.err


def test_a_sample_name_cannot_leave_the_folder(brightness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from readers.open import open_path

    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "a.png")
    source = open_path(tmp_path / "a.png")
    names = ["../../../escaped", "/etc/escaped", "..\\..\\escaped", "a/../../escaped", "a\x00b", ""]
    score = Brightness().score(source.samples)[0]
    scores = iter([ImageScore(sample=name, score=1.0, heatmap=score.heatmap) for name in names])
    monkeypatch.setattr(Brightness, "score", lambda self, batch: list(scores))
    out = tmp_path / "deep" / "er" / "out"
    detect("brightness", tmp_path / "a.png", out=out)
    assert len(list((out / "maps").rglob("*.npy"))) == len(names)
    assert not [path for path in tmp_path.rglob("*escaped*") if not path.is_relative_to(out / "maps")]


def test_detect_leaves_foreign_folders_alone_and_replaces_its_own(brightness, telltale, tmp_path: Path):
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "a.png")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    run = telltale("detect", "brightness", tmp_path / "a.png", "--out", tmp_path / "mine")
    assert run.code == 2
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    for _ in range(2):
        assert telltale("detect", "brightness", tmp_path / "a.png", "--out", tmp_path / "out").code == 0


def test_detect_writes_series_by_data_row(telltale, tmp_path: Path):
    out = tmp_path / "out"
    assert telltale("detect", "window_pca", pump(tmp_path / "pump.csv"), "--out", out).code == 0
    rows = list(csv.DictReader((out / "scores.csv").open()))
    assert [int(row["index"]) for row in rows] == list(range(600))
    scores = np.array([float(row["score"]) for row in rows])
    assert 395 <= scores.argmax() <= 425
    channels = list(csv.DictReader((out / "channels.csv").open()))
    assert list(channels[0]) == ["index", "time", "flow", "heat"]
    assert float(channels[410]["flow"]) > float(channels[410]["heat"])
    assert json.loads((out / "run.json").read_text())["detector"] == "window_pca"


def test_detect_learns_from_abnormal_clips_too(telltale, tmp_path: Path):
    from core.synthetic import case, examples

    def folder(clip) -> Path:
        place = tmp_path / clip.name.replace(" ", "_")
        place.mkdir()
        for frame in clip.frames():
            Image.fromarray(frame.rgb).save(place / f"{frame.number:03d}.png")
        return place

    clips, out = case("video"), tmp_path / "out"
    given = [option for clip in clips.normal for option in ("--normal", folder(clip))]
    given += [option for clip in examples("video") for option in ("--abnormal", folder(clip))]
    small = ("--set", "side=64", "--set", "flow_side=64", "--set", "steps=30")
    run = telltale("detect", "mil_ranking", folder(clips.odd), "--out", out, "--kind", "video", *given, *small)
    assert run.code == 0, run.err
    scores = np.array([float(row["score"]) for row in csv.DictReader((out / "scores.csv").open())])
    assert len(scores) == len(clips.mask)
    assert scores[clips.mask].mean() > scores[~clips.mask].mean() + 0.05  # 30 steps only
    kept = json.loads((out / "run.json").read_text())
    assert (len(kept["normal"]), len(kept["abnormal"])) == (2, 2)


def test_video_scores_cover_every_frame_and_units_are_joined(tmp_path: Path):
    from core.scores import FrameScores
    from ui.detect import _write_scores

    clip = VideoClip.from_array("v", np.zeros((25, 6, 8, 3), np.uint8), fps=10.0)
    score = FrameScores(
        sample="v", seconds=np.array([0.5, 1.5]), scores=np.array([0, 1], np.float32), unit_s=1.0,
        frame_index=np.array([5, 15]), valid=np.array([True, True]),
    )  # fmt: skip
    written: dict[str, bytes] = {}
    _write_scores([clip], [score], lambda name, data: written.update({name: data}))
    rows = list(csv.DictReader(written["scores.csv"].decode().splitlines()))
    assert [int(row["frame"]) for row in rows] == list(range(25))
    assert float(rows[10]["score"]) == pytest.approx(0.5)
    assert float(rows[24]["score"]) == 1.0


def test_clock_series_keep_their_clock(tmp_path: Path):
    from core.scores import PointScores
    from ui.detect import _write_scores

    series = Series(
        name="s", values=np.zeros((2, 1), np.float32), time_s=np.array([0.0, 0.5]), channels=("a",), time_base="clock",
        epoch_s=1_700_000_000.0, rows=np.array([2, 1]),
    )  # fmt: skip
    score = PointScores(sample="s", seconds=series.time_s, scores=np.array([1, 2], np.float32), valid=np.ones(2, bool))
    written: dict[str, bytes] = {}
    _write_scores([series], [score], lambda name, data: written.update({name: data}))
    assert written["scores.csv"].decode().splitlines() == [
        "index,time,score", "0,2023-11-14T22:13:20.500000+00:00,2.0", "1,2023-11-14T22:13:20.000000+00:00,1.0",
    ]  # fmt: skip


def test_event_scores_keep_rows_and_paths():
    from core.scores import EventScores, PathScore
    from ui.detect import _write_scores

    path = PathScore(score=3.0, entities=("winword.exe", 'cmd "x", y'), rows=(1, 2), steps=("starts",))
    score = EventScores(sample="e", scores=np.array([1, 2], np.float32), rows=np.array([1, 2]), paths=(path,))
    written: dict[str, bytes] = {}
    _write_scores([object()], [score], lambda name, data: written.update({name: data}))  # type: ignore[list-item]
    (row,) = csv.DictReader(written["paths.csv"].decode().splitlines())
    assert json.loads(row["entities"]) == ["winword.exe", 'cmd "x", y']
    assert written["scores.csv"].decode() == "row,score\n1,1.0\n2,2.0\n"


def test_a_reader_that_went_away_is_no_fault() -> None:
    command = [sys.executable, "-c", "from ui.cli import main; main(['detectors'])"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as told:
        assert told.stdout is not None
        assert told.stderr is not None
        told.stdout.close()  # as `head` does once it has what it wants, here before a line is printed
        assert told.wait(timeout=120) == 0
        assert told.stderr.read() == ""
