"""`crossing.mp4`: a fixed camera over a pedestrian crossing; a van races over the pavement, brakes for a walker, and leaves.

Ground, wall and grass are scikit-image's bundled CC0 photographs (brick, grass, gravel), laid out in metres and seen through a
pinhole camera; walkers and the van are drawn in the same 3D space, with shadows, motion blur, flicker and sensor noise.
World axes: x right, y away from the camera, z up, metres. Pictures are (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from skimage import data

WIDTH, HEIGHT, FPS, SECONDS = 320, 240, 15, 20
SUPER = 2  # drawn at twice the size, then averaged down
FOCAL, CAMERA_HEIGHT, PITCH = 300.0, 5.6, np.deg2rad(24.0)
SUN = np.array([0.75, -0.35])  # where the shadow of a point 1 m above the ground falls
VAN_LENGTH, VAN_WIDTH, VAN_HEIGHT, VAN_Y = 4.9, 1.9, 2.2, 7.4


@dataclass(frozen=True)
class Walker:
    """Somebody who walks a straight line: at (x, y) when t = 0, with velocity (vx, vy) in m/s."""

    x: float
    y: float
    vx: float
    vy: float
    coat: tuple[int, int, int]
    trousers: tuple[int, int, int]
    height: float = 1.74
    startled: bool = False

    def at(self, t: float) -> tuple[float, float]:
        """Ground position; the startled one jumps back from the van and waits."""
        if not self.startled:
            return self.x + self.vx * t, self.y + self.vy * t
        stop, back, resume = 12.5, 13.1, 15.2
        y = self.y + self.vy * min(t, stop) - 2.6 * (np.clip(t, stop, back) - stop) * np.sign(self.vy)
        return self.x + self.vx * t, y + self.vy * max(0.0, t - resume)


WALKERS = (
    Walker(-9.0, 9.6, 1.25, 0.0, (46, 52, 70), (38, 38, 44)),
    Walker(8.5, 10.3, -1.35, 0.0, (122, 48, 44), (52, 54, 66), 1.68),
    Walker(-16.0, 9.9, 1.4, 0.0, (88, 92, 84), (30, 32, 36), 1.8),
    Walker(24.0, 9.4, -1.3, 0.0, (40, 74, 92), (60, 56, 50), 1.7),
    Walker(-3.6, 17.9, 1.15, 0.0, (150, 132, 96), (44, 44, 52), 1.72),
    Walker(19.0, 18.3, -1.2, 0.0, (70, 64, 78), (36, 36, 40)),
    Walker(-19.0, 18.1, 1.3, 0.0, (96, 60, 50), (48, 50, 58), 1.76),
    Walker(0.3, 8.9, 0.0, 0.85, (58, 84, 60), (40, 40, 48), 1.71),
    Walker(1.6, 22.0, 0.0, -0.8, (168, 60, 52), (44, 46, 60), 1.69),
    Walker(-1.1, -3.2, 0.0, 1.1, (184, 176, 160), (52, 48, 46), 1.77, startled=True),
    Walker(1.0, 32.6, 0.0, -0.95, (62, 62, 104), (36, 38, 46), 1.7),
)


def project(points: np.ndarray) -> np.ndarray:
    """World metres (..., 3) to pixels (..., 2) of the supersampled picture."""
    relative = np.asarray(points, dtype=float) - [0.0, 0.0, CAMERA_HEIGHT]
    depth = relative[..., 1] * np.cos(PITCH) - relative[..., 2] * np.sin(PITCH)
    up = relative[..., 1] * np.sin(PITCH) + relative[..., 2] * np.cos(PITCH)
    depth = np.maximum(depth, 0.2)
    u = WIDTH / 2 + FOCAL * relative[..., 0] / depth
    v = HEIGHT / 2 - FOCAL * up / depth
    return np.stack([u, v], axis=-1) * SUPER


def _texture(
    grey: np.ndarray, x: np.ndarray, y: np.ndarray, metres: float, tint: tuple[float, float, float], contrast: float
) -> np.ndarray:
    """Sample a square photograph repeated every `metres`, mirrored so that no seam shows."""
    size = grey.shape[0]
    u, v = (np.abs((c / metres) % 2.0 - 1.0) * (size - 1.001) for c in (x, y))
    value = cv2.remap(grey.astype(np.float32), u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR)
    value = grey.mean() + contrast * (value - grey.mean())
    return (value / grey.mean())[..., None] * np.array(tint, dtype=float)


def straight_bricks() -> np.ndarray:
    """The brick photograph with its perspective taken out, so that mirrored repeats stay straight."""
    slanted, upright = [[61, 0], [420, 0], [454, 511], [22, 511]], [[22, 0], [454, 0], [454, 511], [22, 511]]
    homography = cv2.getPerspectiveTransform(np.float32(slanted), np.float32(upright))
    return cv2.warpPerspective(data.brick(), homography, (512, 512), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def background() -> np.ndarray:
    """The empty scene, (H, W, 3) float at the supersampled size."""
    fine = 2  # finer still, against aliasing of far textures
    scale = SUPER * fine
    v, u = np.mgrid[0 : HEIGHT * scale, 0 : WIDTH * scale] / scale
    ray_x, ray_up = (u - WIDTH / 2) / FOCAL, (HEIGHT / 2 - v) / FOCAL
    ray_y = np.cos(PITCH) + ray_up * np.sin(PITCH)
    ray_z = -np.sin(PITCH) + ray_up * np.cos(PITCH)
    wall_y = 23.0
    distance = np.where(ray_z < -1e-3, CAMERA_HEIGHT / np.maximum(-ray_z, 1e-3), 1e6)
    on_ground = distance * ray_y < wall_y
    distance = np.where(on_ground, distance, wall_y / ray_y)
    x, y, z = ray_x * distance, ray_y * distance, CAMERA_HEIGHT + ray_z * distance
    brick, grass, gravel = straight_bricks(), data.grass(), data.gravel()
    asphalt = _texture(gravel, x, y, 2.6, (92, 93, 96), 0.42)
    paving = _texture(brick, x, y, 3.4, (136, 122, 112), 0.9)
    lawn = _texture(grass, x, y, 3.0, (82, 98, 58), 1.0)
    wall = _texture(brick, z, x, 4.0, (128, 104, 92), 1.1)
    picture = lawn
    paved = ((y > 8.4) & (y < 11.0)) | ((y > 17.0) & (y < 19.2)) | ((np.abs(x - 0.4) < 2.2) & (y < 21.8))
    picture = np.where(paved[..., None], paving, picture)
    lane = (y >= 11.0) & (y <= 17.0)
    picture = np.where(lane[..., None], asphalt, picture)
    stripes = lane & (np.abs(x - 0.4) < 2.1) & (((y - 11.3) % 1.0) < 0.5)
    worn = np.clip(_texture(gravel, x, y, 1.9, (1, 1, 1), 1.0)[..., :1], 0.72, 1.06)
    picture = np.where(stripes[..., None], 0.25 * picture + 0.75 * worn * np.array([192, 190, 182]), picture)
    kerb = (np.abs(y - 11.0) < 0.09) | (np.abs(y - 17.0) < 0.09)
    picture = np.where(kerb[..., None], np.array([158, 156, 150]) * worn, picture)
    picture = np.where(on_ground[..., None], picture, wall * np.clip(0.72 + 0.09 * z[..., None], 0.5, 1.1))
    vignette = 1.0 - 0.22 * (((u - WIDTH / 2) / WIDTH) ** 2 + ((v - HEIGHT / 2) / HEIGHT) ** 2)[..., None]
    shade = 1.0 - 0.16 / (1.0 + np.exp(-(x + y - 26.0) * 1.2))[..., None]  # soft shadow of a building
    return cv2.resize(picture * vignette * shade, (WIDTH * SUPER, HEIGHT * SUPER), interpolation=cv2.INTER_AREA)


def _pixels(points: np.ndarray) -> np.ndarray:
    """Projected points as cv2's fixed-point coordinates (4 fractional bits)."""
    return np.round(project(points) * 16).astype(np.int32)


def _shadow(mask: np.ndarray, points: np.ndarray) -> None:
    """Add to `mask` the ground shadow of the convex body spanned by `points` (N, 3)."""
    ground = np.c_[points[:, :2] + points[:, 2:3] * SUN, np.zeros(len(points))]
    cv2.fillConvexPoly(mask, cv2.convexHull(_pixels(ground)), 255, cv2.LINE_AA, 4)


def _limb(canvas: np.ndarray, a: list[float], b: list[float], width_m: float, colour: np.ndarray) -> None:
    ends = _pixels(np.array([a, b]))
    depth = a[1] * np.cos(PITCH) + (CAMERA_HEIGHT - a[2]) * np.sin(PITCH)
    thickness = max(1, round(width_m * FOCAL * SUPER / depth))
    cv2.line(canvas, tuple(ends[0].tolist()), tuple(ends[1].tolist()), colour.tolist(), thickness, cv2.LINE_AA, 4)


def draw_walker(canvas: np.ndarray, shadow: np.ndarray, walker: Walker, t: float, *, only_shadow: bool) -> None:
    """Draw one person as a swinging stick body with coat, trousers and head, or only the shadow."""
    x, y = walker.at(t)
    tall, speed = walker.height, np.hypot(walker.vx, walker.vy)
    moved = np.hypot(x - walker.at(t - 0.05)[0], y - walker.at(t - 0.05)[1]) / 0.05
    swing = 0.32 * np.sin(2 * np.pi * (speed / 0.75) * t / 2 + walker.x) * min(1.0, moved / 0.8)
    dx, dy = walker.vx / speed, walker.vy / speed
    if only_shadow:
        _shadow(shadow, np.array([[x - 0.1, y, 0], [x + 0.1, y, 0], [x - 0.2, y, 1.3], [x + 0.2, y, 1.3], [x, y, tall]]))
        return
    lit = np.array([1.0, 0.82, 0.66])
    coat, trousers = np.array(walker.coat, float), np.array(walker.trousers, float)
    hip, shoulder = 0.5 * tall, 0.83 * tall
    for side, light in ((1, lit[1]), (-1, lit[0])):
        foot = [x + side * swing * dx - 0.07 * side * dy, y + side * swing * dy, 0.05]
        _limb(canvas, [x - 0.06 * side * dy, y, hip], foot, 0.15, trousers * light)
        hand = [x - side * 0.7 * swing * dx + 0.24 * side * abs(dy), y - side * 0.7 * swing * dy, 0.48 * tall]
        _limb(canvas, [x + 0.18 * side * abs(dy), y, shoulder - 0.04], hand, 0.1, coat * light * 0.85)
    _limb(canvas, [x, y, hip], [x, y, shoulder - 0.1], 0.34, coat * lit[1])
    _limb(canvas, [x - 0.05, y, hip + 0.1], [x - 0.05, y, shoulder - 0.12], 0.2, coat)
    _limb(canvas, [x, y, 0.91 * tall], [x, y, 0.95 * tall], 0.2, np.array([196.0, 158.0, 132.0]))
    _limb(canvas, [x, y, 0.96 * tall], [x, y, 0.985 * tall], 0.2, np.array([58.0, 46.0, 40.0]))


def van_x(t: float) -> float | None:
    """Rear bumper's x of the van, None before it comes and after it left: 11 m/s, hard braking, a halt, and off again."""
    rear = -12.75
    phases = ((12.0, 0.45, 11.0, 0.0), (12.45, 0.9, 11.0, -11.0), (13.35, 0.35, 0.0, 0.0), (13.7, 1.7, 0.0, 11.0))
    if t < phases[0][0]:
        return None
    for start, length, speed, acceleration in phases:
        spent = min(t - start, length)
        rear += speed * max(spent, 0.0) + 0.5 * max(acceleration, -speed / length) * max(spent, 0.0) ** 2
        if t < start + length:
            return rear
    return None


def draw_van(canvas: np.ndarray, shadow: np.ndarray, rear: float, *, only_shadow: bool, braking: bool) -> None:
    """Draw the white delivery van with its near side at y = VAN_Y, or only its shadow."""
    near, far, front = VAN_Y, VAN_Y + VAN_WIDTH, rear + VAN_LENGTH
    outline = [(rear, 0.35), (front, 0.35), (front, 1.0), (front - 0.75, 1.2), (front - 1.35, VAN_HEIGHT), (rear, VAN_HEIGHT)]
    side = np.array([[px, near, pz] for px, pz in outline])
    if only_shadow:
        _shadow(shadow, np.concatenate([side, side + np.array([0, VAN_WIDTH, 0])]))
        return

    def face(points: list[list[float]], colour: tuple[int, int, int]) -> None:
        cv2.fillConvexPoly(canvas, _pixels(np.array(points)), colour, cv2.LINE_AA, 4)

    slope = [
        [front - 0.75, near, 1.2],
        [front - 1.35, near, VAN_HEIGHT],
        [front - 1.35, far, VAN_HEIGHT],
        [front - 0.75, far, 1.2],
    ]
    face(
        [[rear, near, VAN_HEIGHT], [front - 1.35, near, VAN_HEIGHT], [front - 1.35, far, VAN_HEIGHT], [rear, far, VAN_HEIGHT]],
        (226, 228, 230),
    )
    if front < 3.3:  # the windscreen is turned away further right
        face(slope, (46, 54, 62))
    face([[front, near, 1.0], [front - 0.75, near, 1.2], [front - 0.75, far, 1.2], [front, far, 1.0]], (214, 216, 220))
    if front < 0.0:
        face([[front, near, 0.35], [front, near, 1.0], [front, far, 1.0], [front, far, 0.35]], (168, 170, 176))
    if rear > 0.0:
        face([[rear, near, 0.35], [rear, near, VAN_HEIGHT], [rear, far, VAN_HEIGHT], [rear, far, 0.35]], (150, 152, 158))
    face(side.tolist(), (196, 198, 204))
    face(
        [[front - 1.75, near, 1.3], [front - 0.95, near, 1.3], [front - 1.4, near, 1.98], [front - 1.75, near, 1.98]],
        (40, 48, 56),
    )
    face(
        [[rear + 0.1, near, 0.95], [front - 0.3, near, 0.95], [front - 0.3, near, 1.08], [rear + 0.1, near, 1.08]], (198, 92, 40)
    )
    face(
        [[front - 0.28, near, 0.72], [front - 0.02, near, 0.72], [front - 0.02, near, 0.9], [front - 0.28, near, 0.9]],
        (250, 244, 214),
    )
    tail = (250, 40, 30) if braking else (140, 30, 28)
    face([[rear, near, 0.85], [rear + 0.16, near, 0.85], [rear + 0.16, near, 1.35], [rear, near, 1.35]], tail)
    for hub in (rear + 0.95, front - 0.95):
        turn = np.linspace(0, 2 * np.pi, 24)
        for radius, colour in ((0.37, (24, 24, 26)), (0.19, (120, 122, 126))):
            face([[hub + radius * np.cos(a), near - 0.02, 0.37 + radius * np.sin(a)] for a in turn], colour)


def van_visible(t: float) -> bool:
    """Whether any part of the van lies inside the picture."""
    rear = van_x(t)
    if rear is None:
        return False
    u = project(np.array([[rear, VAN_Y + VAN_WIDTH, 1.0], [rear + VAN_LENGTH, VAN_Y + VAN_WIDTH, 1.0]]))[:, 0]
    return bool(u[1] > 0 and u[0] < WIDTH * SUPER)


def _moment(empty: np.ndarray, t: float) -> np.ndarray:
    """The noiseless supersampled scene at one instant."""
    canvas = empty.copy()
    shadow = np.zeros(canvas.shape[:2], np.uint8)
    rear = van_x(t)
    things = [(w.at(t)[1], w) for w in WALKERS if 2.0 < w.at(t)[1] < 22.5 and abs(w.at(t)[0]) < 16.0]
    for _, walker in things:
        draw_walker(canvas, shadow, walker, t, only_shadow=True)
    if rear is not None:
        draw_van(canvas, shadow, rear, only_shadow=True, braking=False)
    soft = cv2.GaussianBlur(shadow, (0, 0), 1.6).astype(float)[..., None] / 255.0
    canvas = np.ascontiguousarray(np.clip(canvas * (1.0 - 0.42 * soft), 0, 255).astype(np.uint8))
    order = [*things, *([(VAN_Y, None)] if rear is not None else [])]
    for _, thing in sorted(order, key=lambda item: -item[0]):
        if thing is None and rear is not None:
            draw_van(canvas, shadow, rear, only_shadow=False, braking=12.45 <= t < 13.7)
        elif thing is not None:
            draw_walker(canvas, shadow, thing, t, only_shadow=False)
    return canvas


def frames(seed: int = 3) -> np.ndarray:
    """All frames (T, H, W, 3) uint8 with motion blur, flicker and noise."""
    rng = np.random.default_rng(seed)
    empty = background()
    out = np.empty((FPS * SECONDS, HEIGHT, WIDTH, 3), np.uint8)
    for index in range(len(out)):
        t = index / FPS
        blurred = np.mean([_moment(empty, t + s / (4 * FPS)) for s in (0, 1, 2)], axis=0)
        small = cv2.GaussianBlur(cv2.resize(blurred, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), (0, 0), 0.55)
        gain = 1.0 + 0.008 * np.sin(2 * np.pi * 1.7 * t) + 0.012 * np.sin(2 * np.pi * t / 17.0)
        noise = rng.normal(0.0, 2.2, (HEIGHT, WIDTH, 1)) + rng.normal(0.0, 0.8, (HEIGHT, WIDTH, 3))
        out[index] = np.clip(small * gain + noise * (0.6 + small / 255.0), 0, 255).astype(np.uint8)
    return out


def write(folder: Path) -> dict[str, object]:
    """Write crossing.mp4 and return its ground truth."""
    with av.open(str(folder / "crossing.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "24", "preset": "slow", "g": "60", "threads": "1"}
        for rgb in frames():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode())
    seen = [i / FPS for i in range(FPS * SECONDS) if van_visible(i / FPS)]
    start, end = seen[0], seen[-1] + 1 / FPS
    middle = project(np.array([[van_x(13.5), VAN_Y, 0.0], [van_x(13.5) + VAN_LENGTH, VAN_Y + VAN_WIDTH, VAN_HEIGHT]])) / SUPER
    return {
        "file": "crossing.mp4", "kind": "video", "seconds": SECONDS, "fps": FPS,
        "anomalies": [{
            "what": "a van races over the pavement, brakes for a walker, and drives off",
            "start_s": round(start, 2), "end_s": round(end, 2),
            "box_at_13_5_s": [round(float(v), 1) for v in (middle[0, 0], middle[1, 1], middle[1, 0], middle[0, 1])],
        }],
    }  # fmt: skip
