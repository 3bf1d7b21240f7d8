"""Clips: true times, any size, bounds, the box, nothing half-written; and clips of a stream that begin before they were asked for."""

import av
import numpy as np
import pytest

from core.errors import BadInput
from core.samples import Frame, VideoClip
from readers.open import open_path
from tools.video import clip_export
from tools.video.clip_export import ClipWriter, export_clip
from tools.video.clip_recorder import ClipRecorder


def shade(number):
    return (number * 7) % 200 + 20


def clip_at(times, *, height=48, width=64):
    """A clip whose frames tell their number by their shade, at these times."""

    def opener(start_s, end_s, step, max_side):
        for number, time_s in enumerate(times):
            if start_s - 1e-9 <= time_s < end_s and number % step == 0:
                yield Frame(number, time_s, np.full((height, width, 3), shade(number), np.uint8))

    fps = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 25.0
    return VideoClip(
        name="toy.mp4", height=height, width=width, fps=fps, duration_s=times[-1] + 1 / fps, n_frames=len(times), opener=opener
    )


def read(path):
    return list(open_path(path).samples[0].frames())


def test_a_stretch_is_written_with_its_frames_and_times(tmp_path):
    clip = clip_at(np.arange(60) / 20)
    done = export_clip(clip, tmp_path / "out.mp4", start_s=1.0, end_s=2.0)
    frames = read(done.path)
    assert (done.start_s, done.frames, done.encoder) == (1.0, 20, "libx264")
    assert done.end_s == pytest.approx(2.0)
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(20) / 20, abs=1e-4)
    assert [int(frame.rgb.mean()) for frame in frames] == pytest.approx([shade(n) for n in range(20, 40)], abs=3)
    assert [one.name for one in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("encoder", ["libx264", "mpeg4"])
def test_a_variable_frame_rate_stays_one(tmp_path, monkeypatch, encoder):
    monkeypatch.setattr(clip_export, "ENCODERS", (encoder,))
    times = np.cumsum([0.0, 0.04, 0.04, 0.5, 0.033, 0.2, 0.2, 1.7, 0.04])
    done = export_clip(clip_at(times), tmp_path / "out.mp4", start_s=0.0, end_s=10.0)
    assert done.encoder == encoder
    assert [frame.time_s for frame in read(done.path)] == pytest.approx(times, abs=1e-4)


def test_the_file_is_one_that_players_know(tmp_path):
    done = export_clip(clip_at(np.arange(30) / 29.97), tmp_path / "out.mp4", start_s=0.0, end_s=1.0)
    with av.open(str(done.path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert float(stream.average_rate) == pytest.approx(29.97, rel=0.01)
    data = done.path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # plays before it is loaded whole


@pytest.mark.parametrize("size", [(47, 63), (1, 1), (48, 33), (250, 10)])
def test_any_size_is_written(tmp_path, size):
    done = export_clip(clip_at(np.arange(8) / 10, height=size[0], width=size[1]), tmp_path / "out.mp4", start_s=0.0, end_s=9.0)
    frames = read(done.path)
    assert len(frames) == 8
    assert frames[0].rgb.shape[:2] == tuple(edge + edge % 2 for edge in size)


def test_padding_stays_inside_the_clip(tmp_path):
    done = export_clip(clip_at(np.arange(30) / 10), tmp_path / "out.mp4", start_s=1.0, end_s=2.5, pad_s=0.5)
    assert (done.start_s, done.frames) == (0.5, 25)
    done = export_clip(clip_at(np.arange(30) / 10), tmp_path / "out.mp4", start_s=0.2, end_s=2.9, pad_s=60.0)
    assert (done.start_s, done.frames) == (0.0, 30)


def test_the_box_is_drawn_where_and_when_it_is(tmp_path):
    done = export_clip(
        clip_at(np.arange(10) / 10), tmp_path / "out.mp4", start_s=0.0, end_s=1.0, max_side=64,
        box_at=lambda time_s: (16, 8, 48, 40) if time_s >= 0.5 else None,
    )  # fmt: skip
    frames = read(done.path)
    cyan = [frame.rgb[8, 20:44].astype(int) @ [-1, 0.5, 0.5] for frame in frames]
    assert np.median(cyan[9]) > 60
    assert abs(np.median(cyan[2])) < 15


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (2.0, 1.0, "start before the end"), (1.0, 1.0, "start before the end"), (50.0, 60.0, "within its 3.0 s"),
        (-9.0, -5.0, "within its 3.0 s"), (float("nan"), 1.0, "start before the end"), (0.0, float("inf"), "start before the end"),
    ],
)  # fmt: skip
def test_no_stretch_of_the_clip_is_refused_and_leaves_nothing(tmp_path, start, end, said):
    with pytest.raises(BadInput, match=said):
        export_clip(clip_at(np.arange(30) / 10), tmp_path / "out.mp4", start_s=start, end_s=end)
    assert list(tmp_path.iterdir()) == []


def test_a_stretch_that_is_too_long_is_refused(tmp_path):
    with pytest.raises(BadInput, match="at most 600 s"):
        export_clip(clip_at(np.array([0.0, 1e4])), tmp_path / "out.mp4", start_s=0.0, end_s=1000.0)


def test_a_gap_without_frames_leaves_nothing(tmp_path):
    with pytest.raises(BadInput, match="no frame"):
        export_clip(clip_at(np.array([0.0, 5.0])), tmp_path / "out.mp4", start_s=1.0, end_s=2.0)
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays_when_reading_fails(tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"before")

    def opener(start_s, end_s, step, max_side):
        yield Frame(0, 0.0, np.zeros((8, 8, 3), np.uint8))
        raise BadInput("the file went away")

    clip = VideoClip(name="x", height=8, width=8, fps=10.0, duration_s=5.0, n_frames=50, opener=opener)
    with pytest.raises(BadInput, match="went away"):
        export_clip(clip, tmp_path / "out.mp4", start_s=0.0, end_s=2.0)
    assert (tmp_path / "out.mp4").read_bytes() == b"before"
    assert [one.name for one in tmp_path.iterdir()] == ["out.mp4"]


def test_a_folder_that_cannot_be_and_no_encoder_are_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        ClipWriter(tmp_path / "file" / "out.mp4")
    monkeypatch.setattr(clip_export, "ENCODERS", ("none of these",))
    with pytest.raises(BadInput, match="can write none of"):
        ClipWriter(tmp_path / "out.mp4")


def test_frames_of_another_size_and_times_that_go_back_are_dealt_with(tmp_path):
    writer = ClipWriter(tmp_path / "out.mp4")
    for time_s, size in ((0.0, (48, 64)), (0.1, (96, 128)), (0.05, (48, 64)), (0.1, (48, 64)), (0.2, (30, 20))):
        writer.add(time_s, np.full((*size, 3), 90, np.uint8))
    assert writer.close().frames == 3
    assert [frame.rgb.shape for frame in read(tmp_path / "out.mp4")] == [(48, 64, 3)] * 3


# a stream


def feed(recorder, first, last, rate=10, size=(48, 64)):
    done = []
    for number in range(round(first * rate), round(last * rate)):
        finished = recorder.add(number / rate, np.full((*size, 3), shade(number), np.uint8))
        done += [] if finished is None else [finished]
    return done


def test_a_clip_begins_before_it_was_asked_for_and_ends_after(tmp_path):
    recorder = ClipRecorder(before_s=5.0)
    assert feed(recorder, 0, 10) == []
    recorder.start(tmp_path / "event.mp4", 7.0)
    assert feed(recorder, 10, 12) == []
    recorder.until(13.0)
    (done,) = feed(recorder, 12, 15)
    frames = read(done.path)
    assert done.start_s == 7.0
    assert [frame.time_s + 7.0 for frame in frames] == pytest.approx(np.arange(70, 131) / 10, abs=1e-3)
    assert [int(frame.rgb.mean()) for frame in frames[:5]] == pytest.approx([shade(n) for n in range(70, 75)], abs=4)
    assert not recorder.recording


def test_what_is_kept_is_bounded_in_time_and_in_bytes():
    recorder = ClipRecorder(before_s=5.0)
    feed(recorder, 0, 60)
    assert len(recorder._kept) == 51
    noisy = ClipRecorder(before_s=100.0, most_bytes=100_000)
    draw = np.random.default_rng(0)
    for number in range(200):
        noisy.add(number / 10, draw.integers(0, 255, (64, 64, 3), np.uint8))
        assert noisy.held_bytes == sum(len(data) for _, data in noisy._kept)
        assert noisy.held_bytes <= 100_000
    assert len(noisy._kept) > 3


def test_frames_are_shrunk_and_a_long_event_ends_its_clip(tmp_path):
    recorder = ClipRecorder(before_s=1.0, longest_s=2.0, max_side=32)
    recorder.start(tmp_path / "event.mp4", 0.0)
    (done,) = feed(recorder, 0, 10)
    assert done.end_s - done.start_s == pytest.approx(2.0, abs=0.3)
    assert read(done.path)[0].rgb.shape == (24, 32, 3)


def test_a_second_clip_waits_its_turn_and_the_end_of_the_stream_finishes(tmp_path):
    recorder = ClipRecorder()
    assert recorder.finish() is None
    feed(recorder, 0, 1)
    recorder.start(tmp_path / "a.mp4", 0.0)
    with pytest.raises(BadInput, match="another clip"):
        recorder.start(tmp_path / "b.mp4", 0.0)
    assert recorder.finish().frames == 10
    with pytest.raises(BadInput, match="positive"):
        ClipRecorder(before_s=0.0)
