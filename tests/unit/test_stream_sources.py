"""Live sources: addresses (against loopback servers), growing folders and played files; nothing secret is ever shown."""

import collections
import io
import logging
import os
import socket
import threading
import time
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np
import pytest
from PIL import Image

from core.errors import BadInput
from core.samples import Frame
from readers.growing import GrowingFolder
from readers.network import NetworkStream, shown_address
from readers.stream import MAX_SIDE, PlayedFile, open_stream

SECRET = "s3cret"


def picture(shade, height=48, width=64):
    return np.full((height, width, 3), shade, np.uint8)


def write_video(path, seconds, *, rate=10, shade=60, height=48, width=64, format_=None):
    """One frame per time; the shade grows by one each."""
    with av.open(str(path) if not isinstance(path, io.BytesIO) else path, "w", format=format_) as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.bit_rate = 2_000_000
        for number, second in enumerate(seconds):
            frame = av.VideoFrame.from_ndarray(picture(shade + number, height, width), format="rgb24")
            frame.pts, frame.time_base = round(1000 * second), Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.fixture
def stop():
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def serve():
    """Start a loopback HTTP server whose GET is the function given; its address."""
    servers = []

    def start(answer):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                answer(self)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://ann:{SECRET}@127.0.0.1:{server.server_port}/live?token={SECRET}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def network(address, stop, said, **more):
    numbers = {"first_wait_s": 0.02, "timeouts_s": (1.0, 1.0), **more}
    return NetworkStream(address, max_side=MAX_SIDE, apart_s=0.06, stop=stop, say=said.append, **numbers)


def multipart(handler, shades, *, apart_s=0.0):
    """A camera's motion JPEG; the connection is closed after the last."""
    handler.send_response(200)
    handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
    handler.end_headers()
    for shade in shades:
        data = io.BytesIO()
        Image.fromarray(picture(shade)).save(data, "JPEG")
        body = data.getvalue()
        handler.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(body), body))
        time.sleep(apart_s)


# addresses


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"rtsp://ann:{SECRET}@cam:554/{SECRET}?p={SECRET}", "rtsp://cam:554"),
        (f"http://{SECRET}@[::1]:80/x", "http://[::1]:80"),
        (f"rtsp://ann:{SECRET}@cam:99999999/x", "rtsp://…"),
        (f"rtsp://a:{SECRET}\n@ca\x1bm/", "rtsp://cam"),
        ("://", "address://…"),
    ],
)
def test_what_is_shown_of_an_address_holds_no_secret(address, shown):
    assert shown_address(address) == shown
    assert SECRET not in shown_address(address)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "concat://a|b", "udp://127.0.0.1:1", "http://", "rtsp:///x", "://x"])
def test_other_schemes_and_no_host_are_refused(address, stop):
    with pytest.raises(BadInput, match="expected an address"):
        open_stream(address, stop=stop)


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_refused_connection_is_one_sentence_without_the_secret(scheme, stop, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = []
    with pytest.raises(BadInput) as refused:
        network(f"{scheme}://ann:{SECRET}@127.0.0.1:{port}/x?token={SECRET}", stop, said)
    shown = [str(refused.value), *said, caplog.text, *capfd.readouterr()]
    assert f"{scheme}://127.0.0.1:{port}: the connection failed" in shown[0]
    assert len(said) == 2  # three tries
    assert not any(SECRET in text for text in shown)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_an_answer_of_401_says_so(serve, stop):
    said = []
    with pytest.raises(BadInput, match="401") as refused:
        network(serve(lambda handler: handler.send_error(401)), stop, said)
    assert SECRET not in str(refused.value) + str(said)


def test_a_server_that_never_answers_is_given_up(stop):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        with pytest.raises(BadInput, match="no answer in time"):
            network(f"http://127.0.0.1:{silent.getsockname()[1]}/x", stop, [], timeouts_s=(0.2, 0.2))
        assert time.monotonic() - started < 5


def test_a_page_is_no_stream(serve, stop):
    def page(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"<html>no video</html>" * 50)

    with pytest.raises(BadInput, match=r"connection failed|no picture"):
        network(serve(page), stop, [])


def test_a_play_list_reaches_no_file(serve, stop, tmp_path):
    hidden = write_video(tmp_path / "hidden.ts", np.arange(10) / 10, format_="mpegts")

    def play_list(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/vnd.apple.mpegurl")
        handler.end_headers()
        handler.wfile.write(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{hidden}\n#EXT-X-ENDLIST\n".encode())

    with pytest.raises(BadInput):
        network(serve(play_list), stop, [])


def test_a_recording_behind_an_address_is_played_once_at_its_pace(serve, stop, tmp_path):
    data = write_video(tmp_path / "a.mkv", np.arange(8) / 10).read_bytes()

    def whole(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    stream = network(serve(whole), stop, said := [])
    started = time.monotonic()
    frames = list(stream.frames())
    assert [round(frame.time_s, 2) for frame in frames] == pytest.approx(np.arange(8) / 10, abs=0.02)
    assert [int(frame.rgb.mean()) for frame in frames] == pytest.approx(np.arange(60, 68), abs=3)
    assert time.monotonic() - started >= 0.65
    assert stream.fps == pytest.approx(10)
    assert abs(stream.epoch_s - time.time()) < 60
    assert said == []


def test_a_camera_that_breaks_off_is_connected_again(serve, stop):
    count = []

    def camera(handler):
        count.append(1)
        multipart(handler, [40 * len(count)] * 4, apart_s=0.08)

    stream, frames = network(serve(camera), stop, said := []), []
    for frame in stream.frames():
        frames.append(frame)
        if len(count) == 3:
            stop.set()
    assert len(count) == 3
    times = [frame.time_s for frame in frames]
    assert times == sorted(times)
    assert [frame.number for frame in frames] == list(range(len(frames)))
    assert {round(float(frame.rgb.mean()), -1) for frame in frames} >= {40.0, 80.0}
    assert any("connecting again" in line for line in said)
    assert not any(SECRET in line for line in said)


def test_a_camera_that_is_away_for_a_while_is_waited_for_with_growing_waits(serve, stop):
    count = []

    def camera(handler):
        count.append(time.monotonic())
        if 2 <= len(count) <= 4:
            handler.send_error(503)
        else:
            multipart(handler, [100] * 3, apart_s=0.07)

    stream = network(serve(camera), stop, said := [], first_wait_s=0.05)
    for _ in stream.frames():
        if len(count) == 5:
            stop.set()
    assert len(count) == 5
    waits = np.diff(count)[1:]
    assert waits[-1] > waits[0]
    assert sum("next try" in line for line in said) == 3


def test_stopping_ends_a_wait_for_a_camera(serve, stop):
    first = []

    def camera(handler):
        if first:
            handler.send_error(503)
        else:
            first.append(1)
            multipart(handler, [100] * 4, apart_s=0.05)

    stream = network(serve(camera), stop, [], first_wait_s=20.0)
    threading.Timer(0.5, stop.set).start()
    started = time.monotonic()
    list(stream.frames())
    assert time.monotonic() - started < 5


# growing folders


def growing(folder, stop, said, **more):
    numbers = {"poll_s": 0.02, "settled_s": 0.15, "max_side": 32, "apart_s": 0.06, **more}
    return GrowingFolder(folder, stop=stop, say=said.append, **numbers)


def put(folder, name, shade, written_s=None, *, form="PNG"):
    data = io.BytesIO()
    Image.fromarray(picture(shade)).save(data, form)
    path = folder / name
    path.write_bytes(data.getvalue())
    if written_s is not None:
        os.utime(path, (written_s, written_s))
    return path


def taken(stream, stop, count, within_s=5.0):
    """The first `count` frames."""
    frames = []
    timer = threading.Timer(within_s, stop.set)
    timer.start()
    for frame in stream.frames():
        frames.append(frame)
        if len(frames) == count:
            stop.set()
    timer.cancel()
    return frames


def test_each_new_picture_is_a_frame_at_the_time_it_was_written(tmp_path, stop):
    now = time.time() - 100
    for number in (2, 0, 1):
        put(tmp_path, f"{number}.png", 50 * number, now + 5 * number)
    stream = growing(tmp_path, stop, said := [])
    threading.Timer(0.3, lambda: put(tmp_path, "3.jpg", 200, now + 17, form="JPEG")).start()
    frames = taken(stream, stop, 4)
    assert [frame.time_s for frame in frames] == pytest.approx([0, 5, 10, 17], abs=0.01)
    assert [int(frame.rgb.mean()) for frame in frames] == pytest.approx([0, 50, 100, 200], abs=2)
    assert frames[0].rgb.shape == (24, 32, 3)
    assert stream.epoch_s == pytest.approx(now, abs=0.01)
    assert said == []


def test_a_picture_is_taken_only_when_it_is_whole(tmp_path, stop):
    put(tmp_path, "0.png", 10, time.time() - 20)
    whole = put(tmp_path, "1.png", 90).read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])

    def complete():
        (tmp_path / "1.png").write_bytes(whole)

    threading.Timer(0.2, complete).start()
    frames = taken(growing(tmp_path, stop, said := [], settled_s=2.0), stop, 2)
    assert [int(frame.rgb.mean()) for frame in frames] == [10, 90]
    assert said == []


def test_what_cannot_be_read_is_said_once_and_passed_over(tmp_path, stop):
    now = time.time() - 30
    put(tmp_path, "0.png", 10, now)
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 99)
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "below").mkdir()
    threading.Timer(0.6, lambda: put(tmp_path, "2.png", 90)).start()
    frames = taken(growing(tmp_path, stop, said := []), stop, 2)
    assert [int(frame.rgb.mean()) for frame in frames] == [10, 90]
    assert sorted(line.split(":")[1].strip() for line in said) == ["1.png", "notes.csv"]


def test_files_that_are_older_are_left_out(tmp_path, stop):
    put(tmp_path, "old.png", 10, time.time() - 1000)
    put(tmp_path, "new.png", 90, time.time() - 100)
    frames = taken(growing(tmp_path, stop, said := []), stop, 1)
    assert int(frames[0].rgb.mean()) == 90
    assert said == [f"{tmp_path.name}: 1 older file left out"]


def test_pictures_written_at_one_time_do_not_turn_time_back(tmp_path, stop):
    now = time.time() - 50
    for number, written in enumerate([0, 0, 3, 3.01, 6]):
        put(tmp_path, f"{number}.png", 10 + number, now + written)
    frames = taken(growing(tmp_path, stop, []), stop, 3)
    assert [frame.time_s for frame in frames] == pytest.approx([0, 3, 6], abs=0.01)


def test_finished_videos_are_appended(tmp_path, stop):
    now = time.time() - 60
    for number, end in enumerate((0.0, 1.1, 20.0)):  # the second goes on where the first ended; the third comes after a gap
        path = write_video(tmp_path / f"{number}.mp4", np.arange(10) / 10, shade=60 + 20 * number)
        os.utime(path, (now + end, now + end))
    frames = taken(growing(tmp_path, stop, said := []), stop, 30)
    times = np.array([frame.time_s for frame in frames])
    assert said == []
    assert len(times) == 30
    assert np.diff(times[:20]).max() < 0.3
    assert times[20] - times[0] == pytest.approx(20.0, abs=0.3)
    assert np.diff(times).min() > 0.05
    assert int(frames[20].rgb.mean()) == pytest.approx(100, abs=3)


def test_a_video_that_still_grows_is_waited_for(tmp_path, stop):
    data = write_video(tmp_path / "x.mkv", np.arange(10) / 10).read_bytes()
    path = tmp_path / "x.mkv"
    path.write_bytes(data[: len(data) // 2])
    threading.Timer(0.1, lambda: path.write_bytes(data)).start()
    frames = taken(growing(tmp_path, stop, said := [], settled_s=0.4), stop, 10)
    assert len(frames) == 10
    assert said == []


def test_reading_that_falls_behind_leaves_files_out(tmp_path, stop):
    now = time.time()
    put(tmp_path, "0.png", 10, now - 300)
    stream = growing(tmp_path, stop, said := [])
    frames = []
    for frame in stream.frames():
        frames.append(int(frame.rgb.mean()))
        if len(frames) == 1:
            for number in range(1, 6):
                put(tmp_path, f"{number}.png", 10 + number, now - 300 + 50 * number)
        if frames[-1] == 15:
            stop.set()
    assert frames == [10, 14, 15]
    assert "3 file(s) left out" in said[0]


# played files and devices


def test_a_file_is_played_at_its_pace(tmp_path, stop):
    path = write_video(tmp_path / "a.mp4", np.arange(10) / 10)
    stream, kind = open_stream(str(path), stop=stop, speed=2.0)
    started = time.monotonic()
    frames = list(stream.frames())
    assert kind == "file"
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(10) / 10, abs=0.01)
    assert 0.43 <= time.monotonic() - started < 3


def test_speed_zero_does_not_wait_and_frames_are_thinned(tmp_path, stop):
    path = write_video(tmp_path / "a.mp4", np.arange(100) / 50, rate=50)
    started = time.monotonic()
    frames = list(PlayedFile(path, max_side=32, apart_s=0.06, stop=stop, speed=0.0).frames())
    assert [frame.number for frame in frames] == list(range(0, 100, 3))
    assert frames[0].rgb.shape == (24, 32, 3)
    assert time.monotonic() - started < 1.5
    assert all(isinstance(frame, Frame) for frame in frames)


def test_stopping_ends_a_played_file(tmp_path, stop):
    path = write_video(tmp_path / "a.mp4", np.arange(10) * 5.0)
    threading.Timer(0.2, stop.set).start()
    started = time.monotonic()
    assert len(list(open_stream(str(path), stop=stop)[0].frames())) == 1
    assert time.monotonic() - started < 3


def test_what_is_no_video_is_refused(tmp_path, stop):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n")
    for source, said in (
        (tmp_path / "a.csv", "expected a video"), (tmp_path / "none.mp4", "no such file"), ("/dev/null", "expected a camera like"),
        ("a\0b", "no such file"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=said):
            open_stream(str(source), stop=stop)
    with pytest.raises(BadInput, match="speed -1"):
        open_stream(str(tmp_path / "a.csv"), stop=stop, speed=-1)


class FakeCamera:
    """OpenCV's camera: so many pictures, then it is unplugged."""

    def __init__(self, count):
        self.left, self.released = count, False

    def isOpened(self):
        return True

    def grab(self):
        self.left -= 1
        return self.left >= 0

    def retrieve(self):
        return True, np.full((48, 64, 3), (10, 20, 200), np.uint8)  # blue, green, red

    def get(self, _):
        return 0.0

    def release(self):
        self.released = True


def test_a_camera_gives_frames_until_it_is_unplugged(stop, monkeypatch):
    import cv2

    fake = FakeCamera(4)
    monkeypatch.setattr(cv2, "VideoCapture", lambda number, api: fake)
    monkeypatch.setattr("pathlib.Path.is_char_device", lambda self: True)
    stream, kind = open_stream("/dev/video7", stop=stop, max_side=32, apart_s=0.0)
    frames, given = [], stream.frames()
    with pytest.raises(BadInput, match="still plugged in"):
        collections.deque((frames.append(frame) for frame in given), maxlen=0)
    assert (kind, stream.fps, len(frames), fake.released) == ("camera", None, 3, True)
    assert frames[0].rgb.shape == (24, 32, 3)
    assert frames[0].rgb[0, 0].tolist() == [200, 20, 10]


def test_a_camera_without_a_picture_is_refused(stop, monkeypatch):
    import cv2

    monkeypatch.setattr(cv2, "VideoCapture", lambda number, api: FakeCamera(0))
    monkeypatch.setattr("pathlib.Path.is_char_device", lambda self: True)
    with pytest.raises(BadInput, match="gives no picture"):
        open_stream("/dev/video7", stop=stop)
