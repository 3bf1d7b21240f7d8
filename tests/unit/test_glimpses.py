"""Glimpses at moments of a video give the frames that reading it through gives, whatever its key frames, rate and damage."""

import fractions

import av
import numpy as np
import pytest

from core.errors import BadInput
from core.samples import VideoClip
from readers.open import open_path


def shade(number):
    return (number * 7) % 200 + 20


def encoded(path, ticks, *, gop, base=None, codec="libx264", rate=25, bframes=2):
    base = base or fractions.Fraction(1, rate)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.gop_size, stream.max_b_frames, stream.codec_context.time_base = gop, bframes, base
        if codec == "libx264":
            stream.options = {"sc_threshold": "0", "preset": "ultrafast"}
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), shade(number), np.uint8), format="rgb24")
            frame.pts, frame.time_base = tick, base
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def told(glimpses):
    return [[(f.number, round(f.time_s, 3), int(np.median(f.rgb))) for f in glimpse] for glimpse in glimpses]


def through(clip, moments, length_s, step):
    frames = [(f.number, f.time_s, int(np.median(f.rgb))) for f in clip.frames(step=step)]
    return [[(n, round(t, 3), v) for n, t, v in frames if m - 1e-9 <= t < m + length_s - 1e-9] for m in moments]


MOMENTS = [0.0, 0.1, 1.3, 4.02, 4.1, 9.96, 10.0, 17.3, 19.9, 40.0]


@pytest.mark.parametrize("gop", [5, 50, 250, 10_000])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_glimpses_are_what_reading_through_gives(tmp_path, gop, name):
    clip = open_path(encoded(tmp_path / name, range(500), gop=gop)).samples[0]
    assert clip.key_s[0] == 0.0
    assert len(clip.key_s) == -(-500 // gop)
    for step, length_s in ((1, 0.28), (3, 0.5)):
        got = told(clip.glimpses(MOMENTS, length_s=length_s, step=step))
        assert got == through(clip, MOMENTS, length_s, step)
    assert got[-1] == []
    assert len(got[0]) == 5


def test_key_frames_make_glimpses_cheap(tmp_path, monkeypatch):
    import readers.video

    clip = open_path(encoded(tmp_path / "k.mp4", range(1500), gop=25)).samples[0]
    decoded = []
    real = readers.video._numbered

    def counted(*args, **more):
        for one in real(*args, **more):
            decoded.append(one[0])
            yield one

    monkeypatch.setattr(readers.video, "_numbered", counted)
    list(clip.glimpses([float(k) for k in range(5, 56, 10)], length_s=0.2))
    assert len(decoded) < 6 * 12  # of 1,500: a few behind each key frame


def test_a_variable_rate_keeps_its_time_stamps(tmp_path):
    ticks = np.cumsum(np.random.default_rng(0).integers(10, 300, 200)).tolist()
    clip = open_path(encoded(tmp_path / "v.mkv", ticks, gop=20, base=fractions.Fraction(1, 1000), bframes=0)).samples[0]
    moments = [0.0, 3.3, 3.4, 12.0, 20.5]
    assert told(clip.glimpses(moments, length_s=0.9)) == through(clip, moments, 0.9, 1)


def test_a_damaged_file_gives_what_can_be_decoded(tmp_path):
    path = encoded(tmp_path / "d.ts", range(500), gop=25, codec="mpeg2video", bframes=0)
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    data[third : third + 20_000] = np.random.default_rng(0).integers(0, 256, 20_000, dtype=np.uint8).tobytes()
    path.write_bytes(bytes(data[: int(len(data) * 0.9)]))
    clip = open_path(path).samples[0]
    got = told(clip.glimpses([1.0, 6.0, 7.0, 12.0, 19.5], length_s=0.4))
    assert [n for n, _, _ in got[0]] == list(range(25, 35))
    assert [n for n, _, _ in got[3]] or clip.n_frames < 300
    for moment, glimpse in zip([1.0, 6.0, 7.0, 12.0, 19.5], got, strict=True):
        assert all(moment - 1e-6 <= t < moment + 0.4 for _, t, _ in glimpse)


def test_clips_without_key_frames_and_wrong_orders():
    clip = VideoClip.from_array("a", np.zeros((50, 4, 6, 3), np.uint8), fps=10.0)
    assert clip.key_s is None
    with pytest.raises(BadInput, match="order"):
        clip.glimpses([3.0, 1.0], length_s=0.2)
