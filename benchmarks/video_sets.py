"""Loads the video sets: avenue (normal clips, labelled clips with masks) and two UCF-Crime clips with abnormal segments.

Frame labels (T,) bool, masks (T, H, W) bool, segments half-open seconds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import folder
from core.samples import VideoClip


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledClip:
    """A clip, its frame labels (T,) and, where the set has them, masks (T, H, W)."""

    clip: VideoClip
    labels: NDArray[np.bool_]
    masks: NDArray[np.bool_] | None = None

    @property
    def segments(self) -> tuple[tuple[float, float], ...]:
        """The abnormal stretches as half-open seconds."""
        edges = np.flatnonzero(np.diff(np.concatenate(([0], self.labels.astype(np.int8), [0]))))
        return tuple((a / self.clip.fps, b / self.clip.fps) for a, b in zip(edges[::2], edges[1::2], strict=True))

    @property
    def frame_seconds(self) -> NDArray[np.float64]:
        """Time of each labelled frame (T,): these sets have constant frame rates."""
        return np.arange(len(self.labels)) / self.clip.fps


def read_clip(path: Path) -> VideoClip:
    """One video file as a lazy clip."""
    from readers.open import open_path

    sample = open_path(path).samples[0]
    assert isinstance(sample, VideoClip), path
    return sample


def joined(paths: Sequence[Path], target: Path, *, rate: int = 25, key_every: int = 250) -> None:
    """Encode clips of one size after each other into one H.264 file, with a key frame every `key_every` frames."""
    import av

    with av.open(str(target), "w") as out:
        stream = out.add_stream("libx264", rate=rate)
        count = 0
        for path in paths:
            with av.open(str(path)) as clip:
                for frame in clip.decode(video=0):
                    if count == 0:
                        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
                        stream.gop_size, stream.options = key_every, {"crf": "23", "preset": "fast"}
                    even = frame.reformat(format="yuv420p")
                    even.pts, even.time_base, even.pict_type = count, Fraction(1, rate), 0
                    count += 1
                    out.mux(stream.encode(even))
        out.mux(stream.encode())


def looped(piece: Path, target: Path, seconds: float) -> None:
    """Put a file again and again behind itself, without another encoding, until `seconds` are reached."""
    import av

    with av.open(str(target), "w") as out:
        stream, shift, reached = None, 0, 0.0
        while reached < seconds:
            with av.open(str(piece)) as once:
                source = once.streams.video[0]
                stream = stream or out.add_stream_from_template(source)
                tick_s = float(source.time_base or 0)
                length = round(source.frames / float(source.average_rate or 25) / tick_s)
                for packet in once.demux(source):
                    if packet.size == 0 or packet.pts is None or packet.dts is None:
                        continue
                    packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
                    out.mux(packet)
                shift += length
                reached = shift * tick_s


def avenue(root: Path, *, masks: bool = True) -> tuple[list[VideoClip], list[LabelledClip]]:
    """Normal clips and labelled test clips of avenue.

    Raises:
        BadInput: the set is not below `root`.
    """
    place = folder(root, "avenue")
    normal = [read_clip(path) for path in sorted((place / "training_videos").glob("*.avi"))]
    test = []
    for path in sorted((place / "testing_videos").glob("*.avi")):
        labels = np.loadtxt(path.with_name(f"{path.stem}_frame_label.txt"), dtype=int) > 0
        shapes = None
        if masks:
            from scipy.io import loadmat

            label_file = place / "ground_truth_demo" / "testing_label_mask" / f"{int(path.stem)}_label.mat"
            shapes = np.stack([mask > 0 for mask in loadmat(label_file)["volLabel"].ravel()])
        test.append(LabelledClip(clip=read_clip(path), labels=labels, masks=shapes))
    return normal, test


def ucf_clips(root: Path) -> list[LabelledClip]:
    """The UCF-Crime clips with their labelled segments; a normal clip has none.

    Raises:
        BadInput: the set is not below `root`.
    """
    place = folder(root, "ucf_crime_clips")
    notes = json.loads((place / "annotations.json").read_text(encoding="utf-8"))
    found = []
    for name, note in sorted(notes.items()):
        clip = read_clip(place / f"{name}.mp4")
        labels = np.zeros(clip.n_frames, bool)
        for first, last in note["anomalous_frame_segments_1based"]:
            labels[first - 1 : last] = True
        found.append(LabelledClip(clip=clip, labels=labels))
    return found
