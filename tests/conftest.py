"""Fixtures every test may use."""

from pathlib import Path

import pytest

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
