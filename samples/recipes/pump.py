"""`pump.csv`: two weeks of a booster pump station, one row per five minutes, with three faults of three kinds.

A demand curve (two daily peaks, quieter weekends) drives flow; pressure, current, vibration and bearing temperature follow
from it by a pump's ordinary physics (head falls with flow squared, power with flow times head, temperature lags behind power).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

START, STEP_S, ROWS = datetime(2026, 3, 2), 300, 14 * 288
HEADER = (
    "timestamp", "flow [m3/h]", "inlet_pressure [bar]", "outlet_pressure [bar]", "motor_current [A]", "bearing_temp [°C]",
    "vibration [mm/s]",
)  # fmt: skip
DECIMALS = (1, 3, 3, 2, 2, 3)

SPIKE = (1570, 1573)
DRIFT = (2160, 2496)
STUCK = (3530, 3662)


def _wander(rng: np.random.Generator, rows: int, memory: float) -> np.ndarray:
    """First-order autoregressive noise of unit spread."""
    steps = rng.normal(0.0, np.sqrt(1 - memory**2), rows)
    out = np.empty(rows)
    level = rng.normal()
    for index, step in enumerate(steps):
        level = memory * level + step
        out[index] = level
    return out


def values(seed: int = 5) -> np.ndarray:
    """Channel values (ROWS, 6) with the three faults in."""
    rng = np.random.default_rng(seed)
    index = np.arange(ROWS)
    hour, day = (index * STEP_S / 3600) % 24, index * STEP_S // 86400
    weekend = (START.weekday() + day) % 7 >= 5
    morning = np.exp(-(((hour - np.where(weekend, 9.6, 7.4)) / 1.7) ** 2))
    evening = np.exp(-(((hour - 19.2) / 2.3) ** 2))
    daytime = 1 / (1 + np.exp(-(hour - 6.2) * 1.6)) / (1 + np.exp((hour - 22.6) * 1.4))
    demand = 26 + 30 * daytime + 34 * morning * np.where(weekend, 0.7, 1.0) + 28 * evening
    flow = demand * (1 + 0.035 * _wander(rng, ROWS, 0.97)) + rng.normal(0, 0.7, ROWS)
    inlet = 2.1 - 0.0022 * flow + 0.035 * _wander(rng, ROWS, 0.995) + rng.normal(0, 0.006, ROWS)
    head = 6.6 - 1.55e-4 * flow**2
    outlet = inlet + head + rng.normal(0, 0.014, ROWS)
    current = 9.0 + 0.058 * flow * head / 4.6 + 2.6e-4 * flow**2 + rng.normal(0, 0.11, ROWS)
    ambient = 17 + 3.4 * np.sin(2 * np.pi * (hour - 9.5) / 24) + 1.1 * _wander(rng, ROWS, 0.998)
    warm = np.empty(ROWS)
    level = current[0]
    for i in index:  # the bearing follows the load with a time constant of about 40 minutes
        level += (current[i] - level) * STEP_S / 2400
        warm[i] = level
    bearing = ambient + 14 + 1.45 * warm + rng.normal(0, 0.12, ROWS)
    vibration = 0.75 + 0.0048 * flow + 0.045 * current + 0.05 * _wander(rng, ROWS, 0.6) + rng.normal(0, 0.03, ROWS)

    vibration[SPIKE[0] : SPIKE[1]] += (2.9, 4.6, 1.7)  # a blow: something hard went through the impeller
    ramp = np.clip((np.arange(DRIFT[0], DRIFT[1]) - DRIFT[0]) / 120, 0, 1)
    bearing[DRIFT[0] : DRIFT[1]] += 13.5 * ramp  # a dry bearing: heats up over ten hours, greased after 28
    flow[STUCK[0] : STUCK[1]] = round(float(flow[STUCK[0]]), 1)  # the flow meter's output freezes for eleven hours
    return np.stack([flow, inlet, outlet, current, bearing, vibration], axis=1)


def _stamp(row: int) -> str:
    return (START + timedelta(seconds=row * STEP_S)).isoformat()


def text() -> str:
    """The whole file."""
    lines = [",".join(HEADER)]
    for row, cells in enumerate(values()):
        lines.append(",".join([_stamp(row), *(f"{v:.{d}f}" for v, d in zip(cells, DECIMALS, strict=True))]))
    return "\n".join(lines) + "\n"


def write(folder: Path) -> dict[str, object]:
    """Write pump.csv and return its ground truth; `first_row` counts data rows from 0, `end_row` is exclusive."""
    (folder / "pump.csv").write_text(text(), encoding="utf-8", newline="\n")
    faults = (
        ("a blow: vibration spikes for three readings", "vibration", SPIKE),
        ("a dry bearing: its temperature drifts up while load stays usual, until it is greased", "bearing_temp", DRIFT),
        ("the flow meter is stuck at one value", "flow", STUCK),
    )
    return {
        "file": "pump.csv", "kind": "series", "rows": ROWS, "step_s": STEP_S,
        "anomalies": [
            {"what": what, "channel": channel, "first_row": a, "end_row": b, "start": _stamp(a), "end": _stamp(b)}
            for what, channel, (a, b) in faults
        ],
    }  # fmt: skip
