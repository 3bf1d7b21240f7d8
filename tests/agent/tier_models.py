"""The agent's tests on another model tier, by one flag: `TELLTALE_TEST_TIER=scripted|local|endpoint pytest tests/agent`.

Each model looks one thing up where it may plan and never says a sentence that holds, so what is told must be what is told without it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("chat", "unit")]

from openai_loopback import Loopback, say
from tiny_vlm import build_parrot

TIER = os.environ.get("TELLTALE_TEST_TIER", "embedded")
CALL = {"name": "look_up", "arguments": {"source": "S1", "question": "what happened at 0:10?"}}
"""What every model asks for; the local one, a parrot, never says anything else."""
PLANNER = "You choose what Telltale"
"""How the request of a planner begins."""
PLANS_NOTHING = {"text": "done", "when": PLANNER, "repeat": True}
"""The reply of a scripted model that is content with what fixed rules run."""
UNTRUE = "The score is 123456.7."
CONTEXT = 16_384


def build_local(folder: Path) -> Path:
    """The parrot."""
    build_parrot(folder, json.dumps(CALL), context=CONTEXT)
    return folder


@contextmanager
def model_of(tier: str, folder: Path) -> Iterator[str]:
    """The text of `--model` for a model of a tier that lasts for a whole run."""
    if tier == "local":
        yield f"local:{build_local(folder / 'tiny')}"
    elif tier == "scripted":
        told = {"tool_calls": [CALL], "matching": rf"{PLANNER}[^¤]*Evidence so far:\n\(none yet\)", "repeat": True}
        script = folder / "script.yaml"
        script.write_text(yaml.safe_dump({"replies": [told, PLANS_NOTHING, {"text": UNTRUE, "repeat": True}]}))
        yield f"scripted:{script}"
    elif tier == "endpoint":
        with Loopback() as server:
            server.http.plans, server.http.steps = [say(calls=[CALL])], _Always([say(UNTRUE)])
            yield f"endpoint:eyes@{server.url}"
    else:
        yield tier


class _Always(list):  # type: ignore[type-arg]
    """Steps of which the last is never used up."""

    def pop(self, _: object = 0) -> object:
        return self[-1]
