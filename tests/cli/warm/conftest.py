"""A folder for sockets."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Return a folder with a short path: that of a socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        yield Path(folder)
