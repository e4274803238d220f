"""Fixtures of the tests that run the whole platform."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import PostgresServer, postgres_server


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """Return a PostgreSQL server of its own; skips where it is not installed."""
    with postgres_server() as server:
        yield server
