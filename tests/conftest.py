"""Fixtures of all tests."""

import pytest


@pytest.fixture(scope="module")
def one_thread():
    """One thread for torch: tiny networks gain nothing from more, and lose much where the processors are shared."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
