"""The loopback server is a plain module beside the tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    """No key, address or proxy of whoever runs the tests."""
    for name in ("TELLTALE_API_KEY", "OPENAI_API_KEY", "TELLTALE_ENDPOINT", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    from openai_loopback import Loopback

    with Loopback() as loopback:
        yield loopback


@pytest.fixture(autouse=True)
def _nothing_is_left_in_the_event_loop(caplog):
    """Readers of a stream that are not closed in order are complained about when the loop ends."""
    yield
    for when in ("setup", "call"):
        assert [
            record.getMessage() for record in caplog.get_records(when) if record.name == "asyncio" and record.levelname == "ERROR"
        ] == []
