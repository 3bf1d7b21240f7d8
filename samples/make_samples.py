"""Make every bundled sample anew: `python samples/make_samples.py [FOLDER]` (needs scikit-image, part of the `dev` extra).

The same seeds give the same samples; see `samples/README.md` for what is in each and `truth.json` for where it is abnormal.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from recipes import crossing, pump, tiles, workstation


def make(folder: Path) -> None:
    """Write all samples and their ground truth into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = [recipe.write(folder) for recipe in (crossing, tiles, pump, workstation)]
    (folder / "truth.json").write_text(json.dumps(truth, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
