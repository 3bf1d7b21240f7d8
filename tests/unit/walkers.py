"""A made-up scene for tests of live video: figures that walk to and fro, run, or meet something strange."""

import numpy as np

FPS = 10.0


def walkers(seconds, *, seed=0, fast=(), strange=(), place=99, height=96, width=160):
    """Frames (T, H, W, 3): two patterned figures over a textured ground; in `fast` one runs, in `strange` stripes lie there."""
    import cv2

    draw, fixed = np.random.default_rng(seed), np.random.default_rng(place)
    ground = cv2.resize(fixed.integers(60, 140, (12, 20, 3), dtype=np.uint8), (width, height))
    figures = fixed.integers(40, 220, (2, 7, 5, 3), dtype=np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    frames, places, speeds = [], draw.uniform(10, width - 40, 2), np.array([1.2, -1.0])
    for index in range(int(seconds * FPS)):
        now = index / FPS
        running = len(fast) > 0 and fast[0] <= now < fast[1]
        places = places + speeds * np.array([6.0 if running else 1.0, 1.0])
        speeds = np.where((places < 4) | (places > width - 30), -speeds, speeds)
        places = places.clip(4, width - 30)
        frame = ground.copy()
        for number, x in enumerate(places.astype(int)):
            y = 6 + 36 * number
            frame[y : y + 28, x : x + 20] = figures[number]
        if len(strange) > 0 and strange[0] <= now < strange[1]:
            frame[60:90:4, 70:110] = 255
            frame[62:92:4, 70:110] = 0
        frames.append((frame.astype(int) + draw.integers(-3, 4, frame.shape)).clip(0, 255).astype(np.uint8))
    return np.stack(frames)
