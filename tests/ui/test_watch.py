"""`telltale watch` and `telltale clip` in-process: what is told, kept and posted, and that nothing on the way stops the watching."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.samples import Frame
from readers.open import open_path
from tools.video.frame_novelty import FrameNovelty
from ui import watch as command
from ui.alerts import AlertFile, Webhook
from ui.cli import main
from ui.watching import rate_of

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from walkers import FPS, walkers

pytestmark = pytest.mark.usefixtures("one_thread")
SECRET = "s3cret"


class Run:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def telltale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("TELLTALE_HOME", str(tmp_path / "home"))
    small(monkeypatch)

    def run(*args: object) -> Run:
        with pytest.raises(SystemExit) as end:
            main([str(arg) for arg in args])
        said = capsys.readouterr()
        return Run(int(end.value.code or 0), said.out, said.err)

    return run


def small(patch: pytest.MonkeyPatch) -> None:
    for name in ("side", "flow_side"):
        patch.setitem(FrameNovelty.__init__.__kwdefaults__, name, 96)


def write(path: Path, pictures: np.ndarray) -> Path:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=int(FPS))
        stream.height, stream.width, stream.pix_fmt = *pictures.shape[1:3], "yuv420p"
        stream.bit_rate = 4_000_000
        for number, rgb in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, int(FPS))
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory):
    """Two normal clips, and one in which stripes lie on the ground from 4 to 6 s."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "normal").mkdir()
    for seed in (1, 2):
        write(folder / "normal" / f"{seed}.mp4", walkers(6, seed=seed))
    write(folder / "gate.mp4", walkers(11, seed=3, strange=(4, 6)))
    return folder


@pytest.fixture(scope="module")
def event(videos: Path, tmp_path_factory: pytest.TempPathFactory):
    """One watch of that clip, with everything kept."""
    kept = tmp_path_factory.mktemp("kept")
    out = kept / "said"
    with pytest.MonkeyPatch.context() as patch, out.open("w") as said:
        patch.setenv("TELLTALE_HOME", str(kept / "home"))
        small(patch)
        patch.setattr("sys.stdout", said)
        done = command.run_watch(
            str(videos / "gate.mp4"),
            normal=[videos / "normal"],
            alerts=kept / "deep" / "a.jsonl",
            clips=kept / "clips",
            speed=0.0,
        )
    return kept, out.read_text().splitlines(), done


def test_an_event_is_told_as_it_begins_and_ends(event):
    _, lines, done = event
    began, ended, saved = lines
    assert began.startswith("event 1 began at 0:0")
    assert "unusual appearance" in began
    assert "times the threshold (score" in began
    assert ended.startswith("event 1 ended after")
    assert "event 1 saved as" in saved
    assert (done.events, done.judged, done.left_out) == (1, 55, 0)


def test_the_alert_file_carries_the_evidence(event):
    kept, _, _ = event
    opened, closed, saved = (json.loads(line) for line in (kept / "deep" / "a.jsonl").read_text().splitlines())
    assert [one["state"] for one in (opened, closed, saved)] == ["opened", "closed", "saved"]
    assert opened["start_s"] == pytest.approx(4.0, abs=0.5)
    assert closed["end_s"] == pytest.approx(6.0, abs=0.5)
    assert opened["start_s"] == closed["start_s"]
    for one in (opened, closed):
        evidence = one["evidence"]
        assert evidence["tool"] == "frame_novelty"
        assert evidence["score"] == one["score"] > evidence["threshold"]
        assert "held-out normal scores" in evidence["threshold_origin"]
        assert evidence["locus"]["kind"] == "interval"
        assert one["text"].startswith("gate.mp4: event 1")
        assert len(json.dumps(one)) < 4000
    assert closed["times_threshold"] >= opened["times_threshold"] > 1
    assert [evidence_id["evidence"]["id"] for evidence_id in (opened, closed)] == ["E1", "E2"]


def test_the_picture_shows_the_strangest_moment_with_its_box(event):
    kept, _, _ = event
    closed = json.loads((kept / "deep" / "a.jsonl").read_text().splitlines()[1])
    picture = np.asarray(Image.open(closed["picture"]).convert("RGB"))
    assert picture.shape == (96, 160, 3)
    assert 4 <= closed["peak_s"] <= 6
    x0, y0, x1, y1 = closed["evidence"]["locus"]["box"]
    assert 60 <= (x0 + x1) / 2 <= 120
    assert 50 <= (y0 + y1) / 2 <= 96
    assert tuple(picture[round(y0), round((x0 + x1) / 2)]) == (0, 229, 255)
    assert Path(closed["picture"]).parent == kept / "clips"


def test_the_clip_shows_the_event_and_what_surrounds_it(event):
    kept, _, _ = event
    _, closed, saved = (json.loads(line) for line in (kept / "deep" / "a.jsonl").read_text().splitlines())
    clip = open_path(saved["clip"]).samples[0]
    assert saved["start_s"] == pytest.approx(closed["start_s"] - 3, abs=0.15)
    assert saved["start_s"] + clip.duration_s >= closed["end_s"] + 2
    stripes = next(frame for frame in clip.frames() if frame.time_s + saved["start_s"] >= 5.0)
    assert stripes.rgb[60:92, 72:108].astype(int).std() > 60


def test_json_lines_and_pictures_without_clips(telltale, videos: Path, tmp_path: Path):
    run = telltale("watch", videos / "gate.mp4", "--normal", videos / "normal", "--speed", 0, "--json")
    assert run.code == 0, run.err
    alerts = [json.loads(line) for line in run.out.splitlines()]
    assert [alert["state"] for alert in alerts] == ["opened", "closed"]
    pictures = [Path(alert["picture"]) for alert in alerts]
    assert all(path.is_file() and tmp_path / "home" / "watch" in path.parents for path in pictures)
    assert "watched 10." in run.err
    assert "1 event, 55 units judged, 0 left out" in run.err


def test_alone_it_says_that_it_learns_and_what_it_could_not_judge(telltale, videos: Path):
    run = telltale("watch", videos / "gate.mp4", "--speed", 0)
    assert run.code == 0
    assert run.out == ""
    assert "learning what is usual: about 30 s are not judged" in run.err
    assert "0 units judged" in run.err
    assert "give --normal, or a shorter --warm-up" in run.err
    assert "of the last 10 min of the stream (no normal clip given)" in run.err


def test_it_stops_after_the_time_asked_for(telltale, videos: Path):
    run = telltale("watch", videos / "gate.mp4", "--normal", videos / "normal", "--speed", 0, "--for", 5)
    assert run.code == 0
    assert "ended after" in run.out
    assert "still on when the stream stopped" in run.out
    assert "watched 5." in run.err or "watched 4.9" in run.err


def test_a_camera_that_jumps_is_told(telltale, videos: Path, tmp_path: Path):
    path = write(tmp_path / "tour.mp4", np.concatenate([walkers(4, seed=3), walkers(4, seed=4, place=5)]))
    run = telltale("watch", path, "--normal", videos / "normal", "--speed", 0)
    assert "the camera jumped at 0:04.00: the normal clips may show another place" in run.err


def test_ctrl_c_closes_what_is_open(telltale, videos: Path):
    timer = threading.Timer(6.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    before = signal.getsignal(signal.SIGINT)
    started = time.monotonic()
    run = telltale("watch", videos / "gate.mp4", "--normal", videos / "normal", "--threshold", 2.0, "--smooth", 0.2)
    timer.cancel()
    assert run.code == 0
    assert time.monotonic() - started < 10
    assert run.err.rstrip().endswith("left out")
    assert run.out.count("began") == run.out.count("ended")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_folder_of_pictures_is_watched_while_it_grows(telltale, videos: Path, tmp_path: Path):
    folder = tmp_path / "camera"
    folder.mkdir()
    now = time.time() - 40
    for number, rgb in enumerate(walkers(11, seed=3, strange=(4, 6))[::2]):
        path = folder / f"{number:03d}.png"
        Image.fromarray(rgb).save(path)
        os.utime(path, (now + number / 5, now + number / 5))
    run = telltale("watch", folder, "--normal", videos / "normal", "--for", 8, "--json")
    opened = json.loads(run.out.splitlines()[0])
    assert opened["start_s"] == pytest.approx(4.0, abs=0.8)
    assert opened["start"].startswith("20")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["watch", "none.mp4"], "no such file"),
        (["watch", "x.mp4", "--normal", "none"], "none: no such file"),
        (["watch", "x.mp4", "--warm-up", "1"], "expected warm_up_s from"),
        (["watch", "x.mp4", "--threshold", "0.1"], "expected more than 0.82"),
        (["watch", "x.mp4", "--webhook", "ftp://a/b"], "--webhook ftp://a: expected an address"),
        (["watch", f"rtmp://u:{SECRET}@cam/x"], "expected an address of rtsp"),
        (["clip", "none.mp4", "--from", "1", "--to", "2"], "no such file"),
        (["clip", "x.mp4", "--from", "soon", "--to", "2"], "--from 'soon'"),
    ],
)
def test_user_errors_are_one_line_and_exit_2(telltale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args, said):
    monkeypatch.chdir(tmp_path)
    run = telltale(*args)
    assert run.code == 2
    assert said in run.err
    assert run.err.count("\n") == 1
    assert SECRET not in run.err


def test_the_rate_of_a_stream_that_does_not_say_it():
    rgb = np.zeros((4, 4, 3), np.uint8)
    rate, frames = rate_of(iter([Frame(n, t, rgb) for n, t in enumerate([0.0, 5.0, 5.0, 10.0, 15.5, 20.0, 25.0, 99.0])]))
    assert rate == pytest.approx(0.2)
    assert len(list(frames)) == 8
    assert rate_of(iter([]))[0] is None


# clip


def test_clip_cuts_a_stretch_out(telltale, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    run = telltale("clip", videos / "gate.mp4", "--from", "0:04.5", "--to", 6)
    assert run.code == 0
    assert "Wrote gate_4.5-6.mp4 (4.50 to 6.00 s, 15 frames" in run.err
    assert open_path(tmp_path / "gate_4.5-6.mp4").samples[0].n_frames == 15
    run = telltale("clip", videos / "gate.mp4", "--from", 1, "--to", 2, "--pad", 1, "--box", "10,20,60,80", "-o", "deep/x.mp4")
    assert run.code == 0
    shown = next(iter(open_path(tmp_path / "deep" / "x.mp4").samples[0].frames())).rgb
    assert shown[20:80, 10].astype(int).mean(axis=0)[2] > 180


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--to", "0.5"], "start before the end"),
        (["--from", "100", "--to", "101"], "within its 11.0 s"),
        (["--to", "2", "--box", "1,2,3"], "left,top,right,bottom"),
        (["--to", "2", "--box", "9,2,3,4"], "left < right"),
        (["--to", "2", "-o", "x.avi"], "ends in .mp4"),
        (["--to", "2", "-o", "."], "got a folder"),
    ],
)
def test_clip_says_what_is_wrong(telltale, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more, said):
    monkeypatch.chdir(tmp_path)
    run = telltale("clip", videos / "gate.mp4", "--from", "1", *more)
    assert (run.code, run.err.count("\n")) == (2, 1)
    assert said in run.err
    assert list(tmp_path.glob("*.mp4")) == []


def test_clip_does_not_write_over_its_own_source(telltale, videos: Path):
    before = (videos / "gate.mp4").read_bytes()
    assert "the video itself" in telltale("clip", videos / "gate.mp4", "--from", 0, "--to", 1, "-o", videos / "gate.mp4").err
    assert (videos / "gate.mp4").read_bytes() == before


# webhook


class Server:
    """A loopback webhook whose answers are given; what it received and when."""

    def __init__(self, answers, hang_s: float = 0.0) -> None:
        outer = self
        self.received: list[dict] = []
        self.headers: list[dict] = []
        self.times: list[float] = []
        answers = list(answers)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                outer.times.append(time.monotonic())
                outer.headers.append(dict(self.headers))
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                code = answers.pop(0) if answers else 200
                if code == 0:
                    time.sleep(hang_s)
                    return
                if code == 200:
                    outer.received.append(body)
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", f"http://127.0.0.1:{outer.port}/other")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def address(self) -> str:
        return f"http://ann:{SECRET}@127.0.0.1:{self.port}/hook?token={SECRET}"


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    servers: list[Server] = []

    def start(*answers: int, **more: float) -> tuple[Server, Webhook, list[str]]:
        said: list[str] = []
        servers.append(Server(answers, **more))
        hook = Webhook(servers[-1].address(), said.append, timeout_s=0.3, first_wait_s=0.05)
        return servers[-1], hook, said

    yield start
    for server in servers:
        server.server.shutdown()
        server.server.server_close()


def alert(number: int) -> dict:
    return {"event": number, "state": "opened"}


def test_alerts_are_posted_in_order_with_the_password_as_a_header(hooked):
    server, hook, said = hooked()
    for number in range(5):
        hook.put(alert(number))
    hook.close()
    assert [one["event"] for one in server.received] == list(range(5))
    assert server.headers[0]["Content-Type"] == "application/json"
    assert server.headers[0]["Authorization"].startswith("Basic ")
    assert said == []
    assert hook.warning() is None


def test_errors_of_the_server_are_tried_again_with_growing_waits(hooked):
    server, hook, said = hooked(500, 503, 429)
    hook.put(alert(1))
    hook.close()
    assert [one["event"] for one in server.received] == [1]
    waits = np.diff(server.times)
    assert len(waits) == 3
    assert waits[2] > waits[0] > 0.04
    assert said == []


def test_what_is_given_up_is_said_without_the_address_and_the_next_goes_on(hooked):
    server, hook, said = hooked(500, 500, 500, 500)
    hook.put(alert(1))
    hook.put(alert(2))
    hook.close()
    assert [one["event"] for one in server.received] == [2]
    assert said == [f"webhook http://127.0.0.1:{server.port}: event 1 (opened) could not be delivered (HTTP 500)"]


@pytest.mark.parametrize("code", [302, 400, 404])
def test_what_cannot_get_better_is_not_tried_again_and_no_redirect_is_followed(hooked, code: int):
    server, hook, said = hooked(code)
    hook.put(alert(1))
    hook.close()
    assert len(server.times) == 1
    assert f"HTTP {code}" in said[0]


def test_a_server_that_hangs_costs_the_watch_nothing(hooked):
    server, hook, said = hooked(0, 0, 0, 0, hang_s=2.0)
    started = time.monotonic()
    hook.put(alert(1))
    assert time.monotonic() - started < 0.05
    hook.close()
    assert "no answer within 0.3 s" in said[0]
    assert len(server.times) == 4


def test_a_server_that_is_not_there_is_said(hooked):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said: list[str] = []
    hook = Webhook(f"http://ann:{SECRET}@127.0.0.1:{port}/{SECRET}", said.append, first_wait_s=0.02)
    hook.put(alert(1))
    hook.close()
    assert "Connection refused" in said[0]
    assert SECRET not in said[0]


def test_alerts_that_wait_too_long_make_room(hooked):
    server, _, said = hooked(0, hang_s=1.0)
    hook = Webhook(server.address(), said.append, timeout_s=0.5, first_wait_s=0.02, most_waiting=3)
    for number in range(8):
        hook.put(alert(number))
        time.sleep(0.02)
    hook.close()
    assert sum("was given up" in line for line in said) == 4
    assert [one["event"] for one in server.received][-3:] == [5, 6, 7]


def test_ending_does_not_wait_for_ever(hooked):
    _, hook, said = hooked(*[500] * 50)
    hook._first_wait_s = 60.0
    hook.put(alert(1))
    started = time.monotonic()
    hook.close(wait_s=0.6)
    assert time.monotonic() - started < 3
    assert "could not be delivered" in said[0]


def test_what_leaves_this_machine_is_said():
    hook = Webhook(f"http://hooks.example.org/{SECRET}", print)
    assert hook.warning() == (
        "Alerts (words, times and numbers, no pictures) are sent to http://hooks.example.org, not encrypted."
    )
    assert Webhook("https://hooks.example.org/x", print).warning().endswith("https://hooks.example.org.")


def test_a_watch_posts_and_survives_a_webhook_that_is_down(telltale, videos: Path, hooked):
    server, hook, _ = hooked(404)
    hook.close()
    run = telltale("watch", videos / "gate.mp4", "--normal", videos / "normal", "--speed", 0, "--webhook", server.address())
    assert run.code == 0
    assert "event 1 (opened) could not be delivered (HTTP 404)" in run.err
    assert [one["state"] for one in server.received] == ["closed"]
    assert SECRET not in run.err + run.out


def test_a_full_disk_is_said_once_and_does_not_stop_the_watching(tmp_path: Path):
    said: list[str] = []
    file = AlertFile(tmp_path / "a.jsonl", said.append)
    file.put(alert(1))
    (tmp_path / "a.jsonl").unlink()
    (tmp_path / "a.jsonl").mkdir()
    file.put(alert(2))
    file.put(alert(3))
    assert len(said) == 1
    assert "cannot be written" in said[0]
