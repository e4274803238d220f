"""Fixtures of the platform's tests."""

from __future__ import annotations

import pytest

from config.settings import Settings, load_settings
from store.database import open_database
from tests.factories import add_credit_model


@pytest.fixture
def settings(project: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return a project with a model and a database, whose doctor waits a moment where a person would wait seconds."""
    import tasks.platform.doctor_machine
    import tasks.platform.doctor_services

    for module in (tasks.platform.doctor_machine, tasks.platform.doctor_services):
        monkeypatch.setattr(module, "SECONDS", 0.5)
    for name in ("PREFECT_API_URL", "PERENNIAL_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    add_credit_model(project)
    open_database(project.database_url)
    return load_settings()
