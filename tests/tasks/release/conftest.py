"""Fixtures of the tests of releases."""

from __future__ import annotations

import pytest

from config.settings import Settings


@pytest.fixture
def served(registry: Settings) -> Settings:
    """Return a project whose champion, version 1, has traffic, and whose version 2 waits."""
    from tests.tasks.release.traffic import log, two_versions

    two_versions(registry)
    log(registry, 1, "champion", 20)
    return registry
