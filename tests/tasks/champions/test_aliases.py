"""Readers take the versions from the database and write nothing; the relay completes what was left unfinished."""

from __future__ import annotations

from unittest.mock import ANY

import pytest
from mlflow import MlflowClient

from config.settings import Settings
from store.champions import is_projected, standing
from tasks.champions.aliases import AliasWatch, repair_all
from tasks.registry.versions import list_models, show_model, version_number
from tests.factories import add_credit_model
from tests.tasks.champions.tenure import aliases, crown, database, judge, make_versions, promote


@pytest.fixture
def unfinished(registry: Settings) -> Settings:
    """Return a project whose champion moved to version 2 while MLflow was not told."""
    make_versions(registry, 4)
    add_credit_model(registry)
    promote(registry, 1)
    crown(registry, 2)
    assert aliases(registry) == {"champion": 1}
    return registry


def _is_told(settings: Settings) -> bool:
    engine = database(settings)
    return is_projected(engine, "credit", standing(engine, "credit"))


def test_readers_name_the_champion_of_the_database_and_write_nothing(unfinished: Settings) -> None:
    """What was promoted a moment ago is what is listed, shown and selected, whatever MLflow was told."""
    (summary,) = list_models(unfinished)
    assert (summary.champion, summary.challenger) == (2, None)
    assert show_model("credit", None, unfinished).aliases == ("champion",)
    assert show_model("credit", "previous", unfinished).version == 1
    assert version_number("credit", "champion", unfinished) == 2
    assert aliases(unfinished) == {"champion": 1}
    assert not _is_told(unfinished)


def test_readers_keep_aliases_that_are_not_ours(unfinished: Settings, client: MlflowClient) -> None:
    """A person's own alias selects its version, and one of ours that was moved by hand does not count."""
    client.set_registered_model_alias("credit", "pinned", "3")
    client.set_registered_model_alias("credit", "champion", "4")
    assert version_number("credit", "pinned", unfinished) == 3
    assert show_model("credit", "champion", unfinished).version == 2


def test_before_the_history_mlflow_names_the_champion(registry: Settings, client: MlflowClient) -> None:
    """A registry from before the gate is read as it is."""
    make_versions(registry, 3)
    client.set_registered_model_alias("credit", "champion", "3")
    assert version_number("credit", "champion", registry) == 3
    (summary,) = list_models(registry)
    assert summary.champion == 3


def test_the_relay_completes_what_was_left(unfinished: Settings) -> None:
    """It repairs once, finds nothing the next time, and looks once a minute."""
    judge(unfinished, 3)
    watch = AliasWatch(unfinished)
    assert watch.look() == 1
    assert _is_told(unfinished)
    assert aliases(unfinished) == {"champion": 2, "previous": 1, "challenger": ANY}
    crown(unfinished, 4)
    assert watch.look() == 0
    assert repair_all(unfinished) == 1
    assert repair_all(unfinished) == 0
