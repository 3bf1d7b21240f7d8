"""An incident that three files saw: a pump's sensors, the log of the controller's computer, and a camera, all around 14:32.

Everything is drawn by fixed seeds. The sensors write clock times without a zone, the log writes UTC or an offset, and the camera
keeps the moment of its first frame as the container's creation time.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import av
import numpy as np

DAY = datetime(2026, 3, 5, tzinfo=UTC)
FAULT = DAY + timedelta(hours=14, minutes=31, seconds=50)
"""When the sensors first go wrong."""


def write_pump(path: Path, *, day: datetime = DAY, fault: datetime | None = FAULT) -> Path:
    """A pump's readings every 5 s from 13:30 to 15:30; for 90 s after `fault` the vibration is four times as strong."""
    rng = np.random.default_rng(5)
    lines = ["timestamp,flow [m3/h],motor_current [A],vibration [mm/s]"]
    for i in range(1440):
        at = day + timedelta(hours=13, minutes=30, seconds=5 * i)
        during = fault is not None and 0 <= (at - fault).total_seconds() < 90
        slow = np.sin(2 * np.pi * i / 180)
        flow = 40 + 2 * slow + rng.normal(0, 0.25)
        current = 11 + 0.5 * slow + rng.normal(0, 0.06) + (3.0 if during else 0.0)
        vibration = 1.4 + 0.1 * slow + rng.normal(0, 0.04) + (4.5 if during else 0.0)
        lines.append(f"{at:%Y-%m-%dT%H:%M:%S},{flow:.2f},{current:.3f},{vibration:.3f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_log(path: Path, *, at: datetime = FAULT - timedelta(seconds=75), zone: timezone = UTC, stamped: bool = True) -> Path:
    """The controller computer's log, JSON lines: hours of polling, and from `at` on a strange program that writes the set points.

    `stamped` False leaves the times out.
    """
    rng = np.random.default_rng(6)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    rows: list[tuple[datetime, str, str, str]] = []
    for i in range(1400):
        moment = day + timedelta(hours=13, minutes=30, seconds=5 * i + float(rng.uniform(0, 1)))
        program, did, what = (
            ("scada.exe", "read", "register_flow"), ("scada.exe", "read", "register_current"), ("historian.exe", "write", "trend.db"),
            ("scada.exe", "read", "register_vibration"), ("historian.exe", "read", "trend.db"),
        )[int(rng.integers(5))]  # fmt: skip
        rows.append((moment, program, did, what))
    strange = [("explorer.exe", "start", "svc_update.exe"), ("svc_update.exe", "connect", "203.0.113.7"),
               ("svc_update.exe", "write", "setpoint_speed"), ("svc_update.exe", "write", "setpoint_limit"),
               ("svc_update.exe", "delete", "alarm_table")]  # fmt: skip
    rows += [(at + timedelta(seconds=12 * i), *row) for i, row in enumerate(strange)]
    rows.sort()
    with path.open("w", encoding="utf-8") as file:
        for moment, program, did, what in rows:
            time = {"timestamp": moment.astimezone(zone).isoformat(timespec="milliseconds")} if stamped else {}
            file.write(json.dumps({**time, "process": program, "operation": did, "object": what}) + "\n")
    return path


def write_clip(path: Path, *, begins: datetime | None = FAULT - timedelta(seconds=2), seconds: int = 16) -> Path:
    """A camera at 5 frames/s on a hall where boxes pass on a belt; from second 8 to 11 a bright cloud rises across the picture.

    `begins` is kept as the container's creation time; None keeps none.
    """
    rng = np.random.default_rng(7)
    wall = rng.integers(60, 110, (120, 160, 3)).astype(np.float32)
    wall = np.kron(wall[::8, ::8], np.ones((8, 8, 1), np.float32))[:120, :160]
    with av.open(str(path), "w") as out:
        if begins is not None:
            out.metadata["creation_time"] = f"{begins:%Y-%m-%dT%H:%M:%S.%fZ}"
        stream = out.add_stream("libx264", rate=5, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for i in range(5 * seconds):
            t = i / 5
            picture = wall.copy()
            for speed in (0.11, 0.17, 0.29):
                x = int(160 * ((speed * t + 3 * speed) % 1.0))
                picture[92:106, x : x + 16] = (150, 120, 60)
            if 8 <= t < 11:
                up = int(100 * (t - 8) / 3)
                picture[max(0, 90 - up) : 92, 50:115] = 0.3 * picture[max(0, 90 - up) : 92, 50:115] + 0.7 * rng.uniform(180, 255)
                picture[20:80, 60 + up // 3 : 110 + up // 3] += rng.uniform(40, 140)
            picture += rng.normal(0, 2, picture.shape)
            frame = av.VideoFrame.from_ndarray(np.clip(picture, 0, 255).astype(np.uint8), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path
