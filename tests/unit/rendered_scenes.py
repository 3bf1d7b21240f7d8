"""Rendered scenes with known truth: upright ellipses ("people") and squares (bags) on textured ground, 160 × 120 pixels at 6 frames/s."""

import numpy as np

from core.samples import VideoClip

FPS, WIDTH, HEIGHT = 6.0, 160, 120


def ground(seed=0):
    """Blurred noise in grey-green, so that the background has edges of its own."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).normal(0, 1, (HEIGHT, WIDTH, 3)), (1.5, 1.5, 0))
    return 110 + 12 * noise / noise.std()


def render(seconds, *movers, mirrored=False, noise=2.0, name="scene"):
    """A clip of `seconds`; each mover gives for a time (x centre, y feet, width, height, colour) or None."""
    count = round(seconds * FPS)
    rng, still = np.random.default_rng(1), ground()
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    frames = np.empty((count, HEIGHT, WIDTH, 3), np.uint8)
    for index in range(count):
        picture = still.copy()
        for mover in movers:
            place = mover(index / FPS)
            if place is not None:
                x, feet, width, height, colour = place
                inside = ((columns - x) / (width / 2)) ** 2 + ((rows - feet + height / 2) / (height / 2)) ** 2 <= 1
                picture[inside] = colour
        frames[index] = np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255)
    return VideoClip.from_array(name, frames[:, :, ::-1].copy() if mirrored else frames, fps=FPS)


def truth(time_s, mover):
    """The mover's box at a time."""
    x, feet, width, height, _ = mover(time_s)
    return x - width / 2, feet - height, x + width / 2, feet


RED, BLUE, WHITE, DARK = (200, 40, 40), (40, 60, 200), (235, 235, 235), (20, 20, 25)


def walker(x0, speed, *, feet=90.0, height=40.0, colour=RED, start=0.0, end=np.inf):
    """Walks at `speed` pixels per second from x0 at time 0."""
    return lambda t: (x0 + speed * t, feet, 0.4 * height, height, colour) if start <= t < end else None


def faller(x, *, at=3.0, feet=90.0, height=44.0, colour=BLUE):
    """Walks in, stands, falls within half a second, lies."""

    def where(t):
        share = float(np.clip((t - at) / 0.5, 0, 1))
        came = x - 12 * max(0.0, 2.0 - t)
        return came + 10 * share, feet, 0.4 * height + share * 0.6 * height, height - share * 0.68 * height, colour

    return where


def croucher(x, *, at=3.0, feet=90.0, height=44.0, colour=BLUE):
    """As `faller`, but bends down for half a second and comes up again."""

    def where(t):
        share = float(np.interp(t, [at, at + 0.4, at + 0.8, at + 1.2], [0, 1, 1, 0]))
        came = x - 12 * max(0.0, 2.0 - t)
        return came, feet, 0.4 * height + share * 0.25 * height, height - share * 0.42 * height, colour

    return where


def bag(x, *, laid, feet=90.0, size=9.0, end=np.inf):
    """Lies at x from `laid` on."""
    return lambda t: (x, feet, size, size, DARK) if laid <= t < end else None


def crowded(seed):
    """A scene in which one runs (odd seeds) or falls (even ones) among 0 to 7 others who stand or walk, of any colours; who it is last."""
    rng = np.random.default_rng(1000 + seed)
    count, height = int(rng.integers(0, 8)), float(rng.uniform(20, 40))
    colours = [tuple(int(v) for v in rng.integers(10, 245, 3)) for _ in range(10)]
    movers = []
    for k in range(count):
        speed = float(rng.uniform(0.5, 1.0) * height) * rng.choice([-1, 1]) if rng.random() < 0.6 else 0.0
        x0, feet = float(rng.uniform(5, 155)), float(rng.uniform(75, 112))
        movers.append(walker(x0 - speed * 3, speed, feet=feet, height=height * float(rng.uniform(0.85, 1.15)), colour=colours[k]))
    feet = float(rng.uniform(75, 112))
    if seed % 2:
        speed, way = float(rng.uniform(2.0, 3.0) * height), int(rng.choice([-1, 1]))
        x0 = -10 if way > 0 else 170
        movers.append(walker(x0 - way * speed, way * speed, feet=feet, height=height, colour=colours[8], start=1.0))
    else:
        movers.append(faller(float(rng.uniform(40, 120)), at=3.0, feet=feet, height=height, colour=colours[8]))
    return movers
