"""A row of the operational database that was changed, under the whole platform on PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from config.settings import Settings
from core.errors import BundleError, StorageError
from store.champions import current_champions
from store.database import open_database, writing
from tests.e2e.chaos import MODEL, Sender, add_small_model, await_answer, grow, hook_secrets
from tests.e2e.stage import Stage, await_value, platform
from tests.postgres import PostgresServer

CHANGE = text("UPDATE registered_versions SET manifest = :manifest WHERE model = :model AND version = 1")
TO = {"manifest": "f" * 64, "model": MODEL}


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(2700)
def test_a_changed_hash_of_the_champion_is_refused(project: Settings, postgres: PostgresServer) -> None:
    """No task loads the champion and no run replaces it; the service answers with the copy that it verified."""
    stage = Stage(project, postgres.address, hook_secrets())
    add_small_model(stage)
    with platform(stage):
        Sender.of(stage).deliver("first")
        assert await_answer(stage, "first", 300).status == "answered"
        served = await_value(lambda: stage.ask(f"/v1/models/{MODEL}"), 120, "the first version is served")
        engine = open_database(stage.state.database_url)
        with pytest.raises(StorageError, match="append-only"), writing(engine) as connection:
            connection.execute(CHANGE, TO)
        with writing(engine) as connection:
            connection.exec_driver_sql("ALTER TABLE registered_versions DISABLE TRIGGER USER")
            connection.execute(CHANGE, TO)
        refused = stage.run("monitor", MODEL, "--json", expected=(BundleError.exit_code,))
        assert "contradicts itself about version 1" in refused
        grow(stage, 0)
        Sender.of(stage).deliver("second")
        # The gate is undecided about a champion that cannot be loaded.
        assert await_answer(stage, "second", 500).outcome != "promoted"
        assert [champion.version for champion in current_champions(engine)] == [1]
        assert stage.ask(f"/v1/models/{MODEL}")["version"] == served["version"]
        assert stage.ask(f"/v1/models/{MODEL}/predict", stage.ask(f"/v1/models/{MODEL}/example"))
