"""Fixtures of the unit tests; `tiny_vlm` and other plain modules lie beside the tests."""

import sys
from pathlib import Path

import pytest

from readers.open import open_path

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def series_of():
    """Write a table and read it as a series: `series_of(folder, text or bytes, name=…, encoding=…, **options)`."""

    def read(folder, text, name="a.csv", encoding="utf-8", **options):
        file = folder / name
        file.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
        return open_path(file, **options).samples[0]

    return read
