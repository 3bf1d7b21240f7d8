"""Where warnings and tracebacks of a command go: to a file in TELLTALE_HOME, never over somebody's terminal (unless asked)."""

from __future__ import annotations

import logging
import logging.handlers
import os

FILE = "telltale.log"
LARGEST = 1_000_000


def quiet_terminal() -> None:
    """Send log records and Python warnings to `telltale.log`; `TELLTALE_DEBUG=1` shows them on stderr instead."""
    handler: logging.Handler
    if os.environ.get("TELLTALE_DEBUG"):
        handler = logging.StreamHandler()
    else:
        from core.settings import home

        try:
            home().mkdir(parents=True, exist_ok=True)
            handler = logging.handlers.RotatingFileHandler(home() / FILE, maxBytes=LARGEST, backupCount=1, delay=True)
        except OSError:  # the command itself will say that the folder cannot be used
            handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.raiseExceptions = False
    logging.captureWarnings(True)
