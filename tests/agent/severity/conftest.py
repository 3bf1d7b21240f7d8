"""`plant`, an incident that three files saw, is a plain module beside the tests of incidents."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "incidents"))
