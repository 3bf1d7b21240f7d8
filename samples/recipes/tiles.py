"""`tiles/` and `tiles_normal/`: photographs of terrazzo-like floor tiles on a dark bench; two of them are damaged.

Each tile's face is another cut of scikit-image's bundled CC0 gravel photograph, so no two are alike while all are of one kind;
the photographs differ a little in position, rotation, light and noise. Pictures are (H, W, 3) uint8 RGB; boxes are xyxy pixels.
"""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from skimage import data

SIZE, FACE = 384, 316
CRACKED, STAINED = "tile_04.jpg", "tile_07.jpg"


def _noise_field(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> np.ndarray:
    """Smooth random field of zero mean and unit spread with features of `scale` pixels."""
    field = cv2.GaussianBlur(rng.normal(size=shape), (0, 0), scale)
    return (field - field.mean()) / field.std()


def face(rng: np.random.Generator) -> np.ndarray:
    """A tile's face (FACE, FACE, 3) float: polished stone chips in light cement."""
    gravel = data.gravel().astype(np.float32)
    gravel = np.rot90(gravel, rng.integers(4))
    gravel = gravel[:, ::-1] if rng.random() < 0.5 else gravel
    y, x = rng.integers(0, 512 - 460, 2)
    cut = cv2.resize(np.ascontiguousarray(gravel[y : y + 460, x : x + 460]), (FACE, FACE), interpolation=cv2.INTER_AREA)
    cut = (cut - cut.mean()) / cut.std()
    chips = 168 + 21 * cut + 2.5 * _noise_field(rng, cut.shape, 30)
    warmth = np.clip(1 + 0.02 * np.clip(cut, -2, 2), 0.9, 1.1)
    picture = np.stack([chips * 1.01 * warmth, chips * 0.975, chips * 0.92 / warmth], axis=-1)
    edge = np.minimum.reduce(np.meshgrid(*[np.minimum(np.arange(FACE), np.arange(FACE)[::-1])] * 2))[..., None]
    return picture * np.where(edge < 5, 0.78 + 0.04 * edge, 1.0)


def crack(picture: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Break the face from its edge inwards: a dark jagged line with chipped rim and one branch. Returns picture, mask."""
    mask = np.zeros(picture.shape[:2], np.float32)
    point, heading = np.array([FACE - 4.0, 92.0]), np.pi * 0.86
    path = [point]
    for _ in range(26):
        heading += rng.normal(0, 0.28)
        heading += 0.25 * (np.pi * 0.86 - heading)
        point = point + rng.uniform(4, 9) * np.array([np.cos(heading), np.sin(heading)])
        path.append(point)
    branch, turned = [path[13]], np.pi * 0.55
    for _ in range(8):
        turned += rng.normal(0, 0.3)
        branch.append(branch[-1] + rng.uniform(4, 7) * np.array([np.cos(turned), np.sin(turned)]))
    for line, wide in ((path, 2.6), (branch, 1.6)):
        for index, (a, b) in enumerate(pairwise(line)):
            thickness = max(1, round(wide * 4 * (1 - 0.7 * index / len(line)) / 4))
            ends = [tuple(np.round(p * 16).astype(int).tolist()) for p in (a, b)]
            cv2.line(mask, ends[0], ends[1], 1.0, thickness, cv2.LINE_AA, 4)
    rim = np.clip(cv2.GaussianBlur(np.roll(mask, (1, 1), (0, 1)), (0, 0), 1.2) * 1.4 - mask, 0, 1)[..., None]
    dark = np.clip(cv2.GaussianBlur(mask, (0, 0), 0.6) * 1.25, 0, 1)[..., None]
    picture = picture * (1 - 0.82 * dark) + rim * 34
    return picture, cv2.dilate(mask, np.ones((3, 3))) > 0.3


def stain(picture: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Spill oil on the face: a soft-edged brown blot that darkens but does not hide the chips. Returns picture, mask."""
    y, x = np.mgrid[0:FACE, 0:FACE]
    radius = np.hypot((x - 118) / 1.25, y - 205) + 5.5 * _noise_field(rng, (FACE, FACE), 11)
    blot = 1 / (1 + np.exp((radius - 33) / 2.2))
    ring = np.exp(-(((radius - 33) / 3.5) ** 2))
    drop = 1 / (1 + np.exp((np.hypot(x - 176, y - 236) - 7 - _noise_field(rng, (FACE, FACE), 8)) / 1.0))
    cover = np.clip(blot + drop, 0, 1)[..., None]
    tint = np.array([0.62, 0.47, 0.30])
    return picture * (1 - cover + cover * tint) * (1 - 0.14 * ring[..., None]), cover[..., 0] > 0.35


def photograph(top: np.ndarray, mask: np.ndarray | None, rng: np.random.Generator) -> tuple[np.ndarray, list[int] | None]:
    """Lay the tile on the bench and photograph it. Returns (SIZE, SIZE, 3) uint8 and the defect's box."""
    bench = 46 + 4.0 * _noise_field(rng, (SIZE, SIZE), 1.0) * (0.5 + 0.5 * _noise_field(rng, (SIZE, 1), 3.0))
    bench = cv2.GaussianBlur(bench, (0, 0), 0.8)[..., None] * np.array([1.0, 1.02, 1.06])
    shift, angle = rng.uniform(-7, 7, 2), rng.uniform(-2.2, 2.2)
    place = cv2.getRotationMatrix2D((FACE / 2, FACE / 2), angle, 1.0)
    place[:, 2] += (SIZE - FACE) / 2 + shift
    laid = cv2.warpAffine(top, place, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
    cover = cv2.warpAffine(np.ones(top.shape[:2], np.float32), place, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
    cast = cv2.GaussianBlur(np.roll(cover, (5, 7), (0, 1)), (0, 0), 4.0)[..., None]
    picture = bench * (1 - 0.6 * cast) * (1 - cover[..., None]) + laid * cover[..., None]
    v, u = np.mgrid[0:SIZE, 0:SIZE] / SIZE - 0.5
    tilt = rng.uniform(-0.07, 0.07, 2)
    light = rng.uniform(0.94, 1.06) * (1 + tilt[0] * u + tilt[1] * v) * (1 - 0.16 * (u**2 + v**2))
    picture = picture * light[..., None] * (1 + rng.uniform(-0.006, 0.006, 3))
    picture = cv2.GaussianBlur(picture, (0, 0), 0.6) + rng.normal(0, 1.8, picture.shape)
    box = None
    if mask is not None:
        ys, xs = np.nonzero(cv2.warpAffine(mask.astype(np.float32), place, (SIZE, SIZE)) > 0.4)
        box = [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1]
    return np.clip(picture, 0, 255).astype(np.uint8), box


def _jpeg(picture: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=84, subsampling=2, optimize=True)
    return buffer.getvalue()


def pictures(seed: int = 11) -> dict[str, tuple[np.ndarray, list[int] | None]]:
    """All photographs by relative path, each with its defect's box or None."""
    names = [f"tiles/tile_{n:02d}.jpg" for n in range(1, 10)] + [f"tiles_normal/good_{n}.jpg" for n in range(1, 5)]
    made = {}
    for number, name in enumerate(names):
        rng = np.random.default_rng((seed, number))
        top, mask = face(rng), None
        if name.endswith(CRACKED):
            top, mask = crack(top, rng)
        elif name.endswith(STAINED):
            top, mask = stain(top, rng)
        made[name] = photograph(top, mask, rng)
    return made


def write(folder: Path) -> dict[str, object]:
    """Write both folders of photographs and return their ground truth."""
    anomalies = []
    for name, (picture, box) in pictures().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(_jpeg(picture))
        if box is not None:
            what = "a crack from the right edge inwards" if name.endswith(CRACKED) else "a brown oil stain"
            anomalies.append({"file": name, "what": what, "box": box})
    return {"file": "tiles", "normal": "tiles_normal", "kind": "image", "anomalies": anomalies}
