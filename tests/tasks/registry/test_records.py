"""Which versions of MLflow are ours is what the operational database records, from the first use of a model on."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient

from config.settings import Settings
from core.errors import BundleError, StorageError
from store.champions import RecordedVerdict, record_verdict
from store.database import open_database
from store.registry.registrations import find_version, trusted_manifest
from tasks.registry.contents import AskedContents, stored_version
from tasks.registry.records import adopt_versions, champion_before_history, recorded_version
from tasks.registry.versions import data_version_of, find_registered, versions_made_for
from tests.tasks.registration import lineage, register, register_and_die
from tests.tasks.registry.test_register import killed


def forget(settings: Settings) -> None:
    """Empty the records, as in a database from before them."""
    with closing(sqlite3.connect(settings.var / "perennial.db")) as connection, connection:
        for table in ("built_bundles", "registered_versions"):
            connection.execute(f"DROP TRIGGER {table}_refuse_delete")
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names


def trusted(settings: Settings, version: int) -> str | None:
    """Return the hash that a version's bundle must have."""
    return trusted_manifest(open_database(settings.database_url), "credit", version)


def test_versions_from_before_are_recorded_once(
    registry: Settings, client: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    """With MLflow's word at that moment; a later word, and a version that is added later, do not count."""
    made = [register(registry, key) for key in "ab"]
    client.set_registered_model_alias("credit", "champion", "2")
    forget(registry)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            adopt_versions(AskedContents(client, registry), "credit", registry)
    assert caplog.text.count("recorded the hashes of 2 versions of 'credit'") == 1
    assert [trusted(registry, version) for version in (1, 2)] == [one.manifest for one in made]
    assert champion_before_history("credit", registry) == 2
    client.set_model_version_tag("credit", "1", "perennial.manifest", "0" * 64)
    client.set_registered_model_alias("credit", "champion", "1")
    adopt_versions(AskedContents(client, registry), "credit", registry)
    assert trusted(registry, 1) == made[0].manifest
    assert champion_before_history("credit", registry) == 2


def test_a_verdict_from_before_outweighs_mlflow(registry: Settings, client: MlflowClient) -> None:
    """The hash that was judged is recorded, not the one that MLflow names by now."""
    made = register(registry)
    engine = open_database(registry.database_url)
    about = ("", "", made.manifest, "{}", datetime.now(UTC))
    record_verdict(engine, RecordedVerdict("credit", 1, 0, None, "keep", "enabled", 0, *about))
    forget(registry)
    client.set_model_version_tag("credit", "1", "perennial.manifest", "0" * 64)
    adopt_versions(AskedContents(client, registry), "credit", registry)
    assert trusted(registry, 1) == made.manifest


def test_a_killed_registration_is_recorded_when_found(registry: Settings) -> None:
    """The version is recognised by the bundle that was recorded before MLflow had it."""
    assert killed(register_and_die, registry, "create_model_version", "after")
    assert find_version(open_database(registry.database_url), "credit", 1) is None
    found = find_registered("credit", "a" * 64, registry)
    assert found is not None
    assert trusted(registry, 1) == found.manifest
    assert versions_made_for("credit", "manual", registry) == [1]


def test_a_version_with_the_key_of_a_training_to_come_is_not_taken_for_it(
    registry: Settings, client: MlflowClient
) -> None:
    """Who writes a run key on another version does not keep the training from registering its own."""
    first = register(registry, "a")
    ours = client.get_model_version("credit", "1")
    tags = {**ours.tags, "perennial.run_key": "b" * 64}
    client.create_model_version("credit", str(ours.source), tags=tags, await_creation_for=0)
    client.set_model_version_tag("credit", "1", "perennial.run_key", "b" * 64)
    assert find_registered("credit", "b" * 64, registry) is None
    second = register(registry, "b")
    assert (second.version, second.created) == (3, True)
    again = find_registered("credit", "a" * 64, registry)
    assert again is not None
    assert (again.version, again.manifest) == (1, first.manifest)


def test_facts_of_a_version_are_those_of_its_record(registry: Settings, client: MlflowClient) -> None:
    """Data version and trigger are not read from tags that were rewritten."""
    register(registry)
    client.set_model_version_tag("credit", "1", "perennial.data_version", "0" * 32 + ".dir")
    client.set_model_version_tag("credit", "1", "perennial.trigger", "hook-7")
    assert data_version_of("credit", 1, registry) == lineage().data_version
    assert versions_made_for("credit", "hook-7", registry) == []


def test_a_number_that_was_given_again_is_an_error(registry: Settings, client: MlflowClient) -> None:
    """After the registry was replaced, the first training says so, and so does every repeat."""
    register(registry, "a")
    client.delete_registered_model("credit")
    for key in "bb":
        with pytest.raises(StorageError, match=r"version 1 of 'credit' in MLflow is not .* the registry was replaced"):
            register(registry, key)


def test_a_version_without_a_record_is_refused(registry: Settings, client: MlflowClient) -> None:
    """Whatever it is tagged with."""
    register(registry)
    source = (Path(registry.var) / "elsewhere").as_uri()
    planted = client.create_model_version("credit", source, tags={"perennial.manifest": "0" * 64}, await_creation_for=0)
    with pytest.raises(BundleError, match="version 2 of 'credit' was not registered by Perennial with this"):
        recorded_version(AskedContents(client, registry), stored_version(planted), registry)
