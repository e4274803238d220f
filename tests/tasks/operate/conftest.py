"""Fixtures of the relay's tests: a project that uses a real Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from config.settings import Settings
from tasks.runs.api import prefect_client

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


@pytest.fixture
def settings(prefect_api: str, project: Settings) -> Settings:
    """Return a project that uses the test's server."""
    return project.model_copy(update={"prefect_api_url": prefect_api})


@pytest.fixture
def client(settings: Settings) -> Iterator[SyncPrefectClient]:
    """Return a client of the same server."""
    with prefect_client(settings) as client:
        yield client
