"""Fixtures every test may use."""

from pathlib import Path

import pytest
from hypothesis import settings

# A shared machine pauses now and then; a test's time says nothing about the code. The same code draws the same
# examples; `pytest --hypothesis-profile search` draws new ones.
settings.register_profile("stemma", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("stemma")

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real corpora and benchmarks beside the checkout; tests that need it are skipped without it."""
    folder = _ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder 'shared' with real data beside the checkout")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Tiny checkpoints with recorded reference tensors, part of the project."""
    return _ROOT / "tests" / "golden"
