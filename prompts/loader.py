"""Prompt and help texts: Markdown files beside this module, rendered with named variables.

>>> "detectors" in variables("help")
True
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from core.errors import UnknownName

_FOLDER = Path(__file__).parent


@cache
def _text(name: str) -> str:
    path = _FOLDER / f"{name}.md"
    if not path.is_file():
        raise UnknownName.among("prompt", name, sorted(p.stem for p in _FOLDER.glob("*.md")))
    return path.read_text(encoding="utf-8")


def variables(name: str) -> set[str]:
    """The variables a text needs."""
    from jinja2 import Environment, meta

    return meta.find_undeclared_variables(Environment(autoescape=False).parse(_text(name)))


def render(name: str, **values: Any) -> str:
    """Fill in a text; a missing variable is an error, so that no prompt goes out with a hole.

    Raises:
        UnknownName: no text of that name.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    return environment.from_string(_text(name)).render(**values).strip()
