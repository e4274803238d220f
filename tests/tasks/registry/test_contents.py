"""The contents of a registry come from its tables or its client; where files are not here, the client lists them."""

from __future__ import annotations

from mlflow import MlflowClient

from config.settings import Settings
from tasks.registry.contents import AskedContents, registered_files, registry_contents
from tasks.registry.tables import RegistryTables
from tests.tasks.registration import register
from tests.tasks.registry.test_tables import write


def test_the_cheapest_way_is_taken(registry: Settings) -> None:
    """Tables that can be read are, and others are asked for."""
    assert isinstance(registry_contents(registry), RegistryTables)
    write(registry, "UPDATE alembic_version SET version_num = 'dc11669786a5 '")
    contents = AskedContents(MlflowClient("sqlite://"), registry)
    assert not isinstance(contents, RegistryTables)


def test_files_that_the_tables_do_not_list_are_asked_for(registry: Settings, client: MlflowClient) -> None:
    """Both ways give the same names."""
    register(registry)
    model_id = client.get_model_version("credit", "1").tags["perennial.model_id"]
    contents = registry_contents(registry)
    found = registered_files(contents, model_id, registry)
    assert found == contents.files(model_id) == AskedContents(client, registry).files(model_id)
    place = client.get_logged_model(model_id).artifact_location
    moved = registry.model_copy(update={"var": registry.root / "elsewhere"})
    assert place
    assert registered_files(RegistryTables(contents._engine, moved), model_id, registry) == found  # type: ignore[attr-defined]
