"""Fixtures of the tests of champions."""

from __future__ import annotations

import pytest

from config.settings import Settings


@pytest.fixture
def installation(registry: Settings) -> Settings:
    """Return a project with four versions of credit, none of them champion."""
    from tests.factories import add_credit_model
    from tests.tasks.champions.tenure import make_versions

    make_versions(registry, 4)
    add_credit_model(registry)
    return registry
