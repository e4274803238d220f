"""Fixtures of the operational database's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.postgres import postgres_address  # noqa: F401 - a fixture
from tests.store.stories import Story, with_engine


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of a database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'perennial.db'}"
    return str(request.getfixturevalue("postgres_address"))


@pytest.fixture
def tell(database: str) -> Callable[[Story], None]:
    """Return what runs a story on a database, with a model nobody has used."""
    return lambda story: with_engine(database, lambda engine: story(engine, f"m{uuid4().hex}"))
