"""Which module speaks of which kind of data."""

from __future__ import annotations

from types import ModuleType

from agent.telling import events, image, series, video

VOICES: dict[str, ModuleType] = {"image": image, "video": video, "series": series, "events": events}
