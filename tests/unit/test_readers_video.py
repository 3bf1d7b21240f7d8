"""Video: true time stamps, seeking, shrinking, flat memory, frames in folders, and broken files."""

import fractions
import struct
import tracemalloc
from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image

import core.settings
from core.errors import BadInput
from readers.open import open_all, open_path


def number_frame(number, height=48, width=64):
    """A frame that tells its number by its brightness."""
    frame = np.full((height, width, 3), (number * 7) % 200 + 20, np.uint8)
    frame[: height // 4, : width // 4] = (255, 0, 0)
    return frame


def write_video(path, ticks, *, codec="mpeg4", rate=25, base=None, height=48, width=64, gop=12, bframes=0, frames=None):
    """Encode one frame per tick (presentation times in units of `base`)."""
    base = base or fractions.Fraction(1, rate)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = gop
        stream.max_b_frames = bframes
        stream.codec_context.time_base = base
        stream.bit_rate = 2_000_000
        for number, tick in enumerate(ticks):
            pixels = number_frame(number, height, width) if frames is None else frames[number]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = tick, base
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def brightness(frame):
    return int(np.median(frame.rgb[..., 1]))


def shade(number):
    return (number * 7) % 200 + 20


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "mpeg4"), ("a.avi", "mpeg4"), ("a.mkv", "mpeg4"), ("a.mov", "mjpeg"), ("a.ts", "mpeg2video")]
)
def test_containers(tmp_path, name, codec):
    source = open_path(write_video(tmp_path / name, range(40), codec=codec))
    clip = source.samples[0]
    assert (clip.height, clip.width, clip.n_frames) == (48, 64, 40)
    assert clip.fps == pytest.approx(25, rel=0.01)
    assert clip.duration_s == pytest.approx(1.6, abs=0.05)
    frames = list(clip.frames())
    assert [f.number for f in frames] == list(range(40))
    assert [f.time_s for f in frames] == pytest.approx([k / 25 for k in range(40)], abs=1e-3)
    assert all(abs(brightness(f) - shade(f.number)) < 12 for f in frames)
    assert source.summary["n_frames"] == 40


def test_variable_rate_gives_true_time_stamps(tmp_path):
    ticks = [0, 40, 100, 110, 400, 1000, 1001, 3000, 3033, 5000]
    clip = open_path(write_video(tmp_path / "v.mkv", ticks, base=fractions.Fraction(1, 1000))).samples[0]
    frames = list(clip.frames())
    assert [f.time_s for f in frames] == pytest.approx([t / 1000 for t in ticks], abs=2e-3)
    assert [f.number for f in clip.frames(start_s=0.39, end_s=3.01)] == [4, 5, 6, 7]
    assert [f.number for f in clip.frames(start_s=2.5)] == [7, 8, 9]
    assert clip.fps == pytest.approx(9 / 5, rel=0.02)


def test_first_frame_is_time_zero_even_when_the_container_starts_later(tmp_path):
    clip = open_path(write_video(tmp_path / "late.mkv", range(500, 540))).samples[0]
    assert next(clip.frames()).time_s == 0.0
    assert clip.n_frames == 40


@pytest.mark.parametrize("bframes", [0, 2])
def test_seeking_gives_the_same_frames_as_reading_from_the_start(tmp_path, bframes):
    clip = open_path(write_video(tmp_path / "s.mp4", range(200), gop=25, bframes=bframes)).samples[0]
    everything = {f.number: brightness(f) for f in clip.frames()}
    for start, end, step in ((3.0, 3.5, 1), (5.02, 6.3, 3), (7.9, 99, 2), (1.01, 1.2, 1), (0.0, 0.3, 5)):
        got = [(f.number, brightness(f)) for f in clip.frames(start_s=start, end_s=end, step=step)]
        wanted = [n for n in range(200) if start - 1e-6 <= n / 25 < end - 1e-6 and n % step == 0]
        assert [n for n, _ in got] == wanted
        assert all(abs(b - everything[n]) <= 2 for n, b in got)
    assert list(clip.frames(start_s=100.0)) == []


def test_shrinking(tmp_path):
    clip = open_path(write_video(tmp_path / "m.mp4", range(5), height=120, width=160)).samples[0]
    frame = next(clip.frames(max_side=40))
    assert frame.rgb.shape == (30, 40, 3)
    assert abs(int(np.median(frame.rgb[..., 1])) - shade(0)) < 8
    assert next(clip.frames(max_side=1000)).rgb.shape == (120, 160, 3)


def test_a_frame_can_be_seen_larger_until_the_next_one_is_asked_for(tmp_path):
    clip = open_path(write_video(tmp_path / "l.mp4", range(40), height=120, width=160)).samples[0]
    whole = [frame.rgb for frame in clip.frames(max_side=80)]
    passed = []
    for frame in clip.frames(max_side=40):
        assert np.array_equal(frame.at(80), whole[frame.number])
        assert frame.at(40) is frame.rgb
        assert frame.at(500).shape == (120, 160, 3)
        passed.append(frame)
    assert len(passed) == 40
    with pytest.raises(RuntimeError, match="before"):
        passed[0].at(80)
    joined = replace(clip, glimpser=None)  # as a clip that is made of others
    for one in (clip, joined):
        for glimpse in one.glimpses([0.2, 1.0], length_s=0.2, max_side=40):
            assert all(np.array_equal(frame.at(80), whole[frame.number]) for frame in glimpse)


def test_skipped_frames_are_not_converted(tmp_path, monkeypatch):
    clip = open_path(write_video(tmp_path / "k.mp4", range(60))).samples[0]
    calls = []
    import readers.video

    real = readers.video.upright_rgb
    monkeypatch.setattr(readers.video, "upright_rgb", lambda *a: calls.append(1) or real(*a))
    assert [f.number for f in clip.frames(step=20)] == [0, 20, 40]
    assert len(calls) == 3
    assert [f.number for f in clip.frames(step=7, start_s=1.0)] == [28, 35, 42, 49, 56]


def test_memory_is_flat_however_long_the_clip(tmp_path):
    peaks = []
    for count in (40, 160):
        clip = open_path(write_video(tmp_path / f"{count}.mp4", range(count), height=240, width=320)).samples[0]
        tracemalloc.start()
        assert sum(1 for _ in clip.frames()) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + 500_000
    assert peaks[1] < 160 * 240 * 320 * 3 / 10


def test_an_abandoned_iterator_closes_its_file(tmp_path):
    path = write_video(tmp_path / "x.mp4", range(50))
    clip = open_path(path).samples[0]
    for _ in range(300):  # more than a process may hold open if each one leaked
        next(clip.frames())


def rotated(path, target):
    """Patch the display matrix of an mp4 to a quarter turn clockwise, as a phone held upright writes it."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix lies 40 bytes into the box's body
    data[at : at + 36] = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    target.write_bytes(data)
    return target


def test_rotation_of_the_container_is_applied(tmp_path):
    upright = rotated(write_video(tmp_path / "p.mp4", range(5)), tmp_path / "r.mp4")
    clip = open_path(upright).samples[0]
    assert (clip.height, clip.width) == (64, 48)
    frame = next(clip.frames())
    assert frame.rgb.shape == (64, 48, 3)
    corner = frame.rgb[2:8, -8:-2].reshape(-1, 3).mean(axis=0)  # the red corner moved from top left to top right
    assert corner[0] > 180
    assert corner[1] < 80


@pytest.mark.parametrize("name", ["t.avi", "t.mkv", "t.ts"])
def test_a_cut_off_video_ends_cleanly_with_a_note(tmp_path, name):
    codec = "mpeg2video" if name.endswith("ts") else "mpeg4"
    noise = np.random.default_rng(0).integers(0, 255, (100, 48, 64, 3), dtype=np.uint8)
    whole = write_video(tmp_path / name, range(100), codec=codec, frames=noise)
    data = whole.read_bytes()
    cut = tmp_path / f"cut_{name}"
    cut.write_bytes(data[: len(data) // 2])
    source = open_path(cut)
    numbers = [f.number for f in source.samples[0].frames()]
    assert 20 < len(numbers) < 80
    assert numbers == sorted(numbers)
    if name != "t.ts":  # a transport stream announces nothing
        assert any("ends early" in n for n in source.notes)


def test_damaged_frames_are_passed_over(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), dtype=np.uint8)
    path = write_video(tmp_path / "d.avi", range(60), frames=noise)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    numbers = [f.number for f in open_path(path).samples[0].frames()]
    assert numbers[0] == 0
    assert len(numbers) > 20


def test_videos_that_are_none_are_refused(tmp_path):
    whole = write_video(tmp_path / "w.mp4", range(30)).read_bytes()
    cases = {
        "empty.mp4": b"",
        "no_index.mp4": whole[: len(whole) // 3],
        "zeros.mp4": bytes(5000),
        "noise.mp4": b"\0\0\0\x20ftypisom" + np.random.default_rng(0).bytes(4000),
        "noise.mkv": b"\x1aE\xdf\xa3" + np.random.default_rng(1).bytes(4000),
        "noise.avi": b"RIFF\xff\xff\0\0AVI LIST" + np.random.default_rng(2).bytes(4000),
        "random.mp4": np.random.default_rng(3).bytes(4000),
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadInput, match=rf"^{name}") as caught:
            open_path(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_video_without_frames_is_refused(tmp_path):
    with av.open(str(tmp_path / "zero.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(BadInput, match=r"zero\.avi"):
        open_path(tmp_path / "zero.avi")


def test_a_sound_file_is_refused(tmp_path):
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        for packet in stream.encode(frame):
            container.mux(packet)
    with pytest.raises(BadInput, match="without a video stream"):
        open_path(tmp_path / "sound.mkv")


def test_limits(tmp_path, monkeypatch):
    path = write_video(tmp_path / "l.mp4", range(100))
    monkeypatch.setattr("readers.video.limits", lambda: core.settings.Limits(max_video_seconds=2.0))
    with pytest.raises(BadInput, match="lasts 4 s, allowed are 2 s"):
        open_path(path)
    monkeypatch.setattr("readers.video.limits", lambda: core.settings.Limits(max_video_pixels=100))
    with pytest.raises(BadInput, match="64×48 pixels"):
        open_path(path)


def test_a_play_list_never_reaches_another_file(tmp_path):
    (tmp_path / "secret.ts").write_bytes(write_video(tmp_path / "s.ts", range(20), codec="mpeg2video").read_bytes())
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n")
    opened = open_all([tmp_path / "list.mp4"])
    assert all(s.kind != "video" for s in opened.sources)


def save_frames(folder, count, prefix, make, size=(48, 64)):
    folder.mkdir()
    for k in range(count):
        Image.fromarray(make(k)[: size[0], : size[1]]).save(folder / f"{prefix}{k:04}.png")


def test_numbered_pictures_are_photos_unless_they_are_frames(tmp_path):
    random = np.random.default_rng(0)
    save_frames(tmp_path / "parts", 40, "", lambda k: random.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    assert open_path(tmp_path / "parts").kind == "image"
    save_frames(tmp_path / "named", 40, "frame_", lambda k: random.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    named = open_path(tmp_path / "named")
    assert named.kind == "video"
    assert any("kind 'image'" in n for n in named.notes)
    assert open_path(tmp_path / "named", kind="image").summary["n"] == 40

    def moving(k):
        frame = np.full((48, 64, 3), 60, np.uint8)
        frame[:, k : k + 12] = 220
        return frame

    save_frames(tmp_path / "moving", 40, "", moving)
    assert open_path(tmp_path / "moving").kind == "video"
    save_frames(tmp_path / "few", 10, "frame_", moving)
    assert open_path(tmp_path / "few").kind == "image"
    clip = open_path(tmp_path / "few", kind="video").samples[0]
    assert (clip.n_frames, clip.fps) == (10, 25.0)
    assert [f.number for f in clip.frames(start_s=0.1, step=2)] == [4, 6, 8]
    assert next(clip.frames(max_side=32)).rgb.shape == (24, 32, 3)


def test_frames_of_different_sizes_are_no_clip(tmp_path):
    Image.fromarray(number_frame(1)).save(tmp_path / "0.png")
    Image.fromarray(number_frame(1, 40, 40)).save(tmp_path / "1.png")
    with pytest.raises(BadInput, match="one size"):
        open_path(tmp_path, kind="video")


def test_loose_frames_follow_their_numbers(tmp_path):
    for k in (10, 2, 1):
        Image.fromarray(number_frame(k)).save(tmp_path / f"f{k}.png")
    clip = open_all([tmp_path / f"f{k}.png" for k in (10, 2, 1)], kind="video").sources[0].samples[0]
    assert [brightness(f) for f in clip.frames()] == [shade(1), shade(2), shade(10)]


def test_a_folder_of_clips_is_one_source(tmp_path):
    for k in range(3):
        write_video(tmp_path / f"{k}.mp4", range(10 + k))
    (tmp_path / "readme.txt").write_text("about these clips")
    source = open_path(tmp_path)
    assert [c.name for c in source.samples] == ["0.mp4", "1.mp4", "2.mp4"]
    assert source.summary["n_frames"] == 33
