"""Which model that sees the rules are also asked with.

Only a model that is there is used: the one named in TELLTALE_MODEL (as for `--model`), else the first that `telltale models pull` has
installed. Without one the rules engine abstains where it would have to look.
"""

from __future__ import annotations

import os

from agent.rules.looker import ChatLooker

VARIABLE = "TELLTALE_MODEL"


def find_looker() -> tuple[str, ChatLooker] | None:
    """The name of the model that is there and the looker it makes; None without one.

    Raises:
        UserError: a model is named that cannot be had.
    """
    from models.chat.hub import installed_models
    from models.chat.tiers import open_chat

    installed = installed_models()
    name = os.environ.get(VARIABLE, "").strip() or (f"local:{installed[0].title}" if installed else "")
    model = open_chat(name, temperature=0.0) if name else None
    return None if model is None else (name, ChatLooker(model))
