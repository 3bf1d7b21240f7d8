"""Every limit and every folder, in one place.

Limits are checked before anything is decoded. Each can be raised by an environment variable `TELLTALE_<NAME>`, e.g.
`TELLTALE_MAX_IMAGE_PIXELS=400000000`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from core.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an upload or a setting may cost before it is refused."""

    max_file_bytes: int = 4 * 2**30
    max_image_bytes: int = 512 * 2**20
    max_image_pixels: int = 120_000_000
    max_images: int = 5_000
    max_video_pixels: int = 8192 * 4320
    max_video_seconds: float = 6 * 3600.0
    max_series_rows: int = 20_000_000
    max_series_channels: int = 20_000
    max_series_cells: int = 400_000_000
    max_event_rows: int = 50_000_000
    max_loaded_bytes: int = 512 * 2**20  # larger tables are mapped from disk (readers/spool.py)
    max_points: int = 50_000_000
    max_point_fields: int = 1_000
    max_unpack_ratio: float = 200.0  # an archive may unpack to so many times its size …
    max_unpack_bytes: int = 256 * 2**20  # … and to this many bytes at any ratio: a short array of zeros is no bomb
    max_files: int = 2_000
    max_question_chars: int = 4_000
    max_window: int = 100_000
    max_components: int = 10_000
    tool_budget_s: float = 900.0

    @classmethod
    def from_environment(cls) -> Limits:
        """Defaults, overridden by TELLTALE_<NAME>.

        Raises:
            BadInput: a value is not a positive number.
        """
        values: dict[str, float | int] = {}
        for f in fields(cls):
            text = os.environ.get(f"TELLTALE_{f.name.upper()}")
            if text is None:
                continue
            try:
                number = float(text)
            except ValueError:
                number = -1.0
            if not number > 0:
                raise BadInput(f"TELLTALE_{f.name.upper()}={text!r}: expected a positive number.")
            values[f.name] = number if isinstance(f.default, float) else int(number)
        return cls(**values)  # type: ignore[arg-type]


@cache
def limits() -> Limits:
    """The limits in force in this process."""
    return Limits.from_environment()


def choice(name: str, options: tuple[str, ...]) -> str:
    """One of `options` that TELLTALE_<NAME> names, the first when it is not set.

    Raises:
        BadInput: it names another.

    >>> choice("keyframes", ("context", "uniform", "top"))
    'context'
    """
    chosen = os.environ.get(f"TELLTALE_{name.upper()}", options[0])
    if chosen not in options:
        raise BadInput(f"TELLTALE_{name.upper()}={chosen!r}: expected one of {', '.join(options)}.")
    return chosen


def object_detector() -> str:
    """The learned object detector that TELLTALE_OBJECTS names, a path or a model; empty: the embedded ones."""
    return os.environ.get("TELLTALE_OBJECTS", "").strip()


def home() -> Path:
    """Where chats, evidence and the cache live: `TELLTALE_HOME`, else the platform's user data folder."""
    chosen = os.environ.get("TELLTALE_HOME")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_data_path

    return user_data_path("telltale", appauthor=False)
