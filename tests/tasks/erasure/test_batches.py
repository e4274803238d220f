"""Batches that an entity is taken out of, and later deliveries of their source."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from config.schema import ModelConfig
from config.settings import Settings
from tasks.source.stage import is_known_delivery
from tasks.validation.staging import stage
from tasks.versions.batches import deliveries, read_before
from tasks.versions.versions import data_history, version_data, write_batch
from tasks.versions.working_copy import batch_facts, batch_paths, data_folder
from tests.factories import add_credit_model, credit_config, credit_rows, make_project
from tests.tasks.erasure.projects import forgotten

CREDIT = credit_config(source={"kind": "csv", "uri": "land/*.csv"})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Make a project that reads a folder."""
    made = make_project(tmp_path)
    add_credit_model(made, source={"kind": "csv", "uri": "land/*.csv"})
    (made.root / "land").mkdir()
    return made


def land(settings: Settings, name: str, rows: pd.DataFrame) -> None:
    """Put a file into the source."""
    rows.to_csv(settings.root / "land" / f"{name}.csv", index=False)


def ingest(settings: Settings, config: ModelConfig = CREDIT) -> int:
    """Ingest as the flow does, but for the validation; return how many rows there are."""
    write_batch(stage(config, settings), config, settings)
    return version_data(config, settings).n_rows


def test_an_ingestion_does_not_bring_back_rows_of_files_that_were_read(settings: Settings) -> None:
    """Without a unique key a new file is read alone, although one beside it still has the rows."""
    config = credit_config(source={"kind": "csv", "uri": "land/*.csv"}, key_is_unique=False)
    add_credit_model(settings, source={"kind": "csv", "uri": "land/*.csv"}, key_is_unique=False)
    land(settings, "a", credit_rows(100, seed=1))
    assert ingest(settings, config) == 100
    name = batch_paths(data_folder("credit", settings))[0].name
    forgotten(settings, "c1-5")
    assert ingest(settings, config) == 99
    assert is_known_delivery(config, settings, settings.var / "work" / "credit", deliveries("credit", settings))
    land(settings, "b", credit_rows(50, seed=2))
    assert ingest(settings, config) == 149
    (first, second) = data_history("credit", settings).batches
    assert (f"{first.name}.parquet", first.n_rows, second.n_rows) == (name, 99, 50)
    assert [one.is_whole for one in read_before(config, settings)] == [True, True]


def test_a_file_that_grew_brings_back_what_it_still_has(settings: Settings) -> None:
    """The source has to be cleared first; if it is not, forgetting again takes the rows out again."""
    land(settings, "a", credit_rows(100, seed=1))
    ingest(settings)
    forgotten(settings, "c1-5")
    assert ingest(settings) == 99
    land(settings, "a", pd.concat([credit_rows(100, seed=1), credit_rows(10, seed=2)]))
    assert ingest(settings) == 110
    forgotten(settings, "c1-5")
    rows = pd.concat([credit_rows(100, seed=1), credit_rows(10, seed=2), credit_rows(1, seed=3)])
    land(settings, "a", rows[rows["id"] != "c1-5"])
    assert ingest(settings) == 110
    stored = [pd.read_parquet(path) for path in batch_paths(data_folder("credit", settings))]
    assert "c1-5" not in set(pd.concat(stored)["id"])


def test_a_batch_keeps_its_identity(settings: Settings) -> None:
    """Its name, its fingerprint, its source and the time of its ingestion; the numbers of its delivery follow."""
    land(settings, "a", credit_rows(100, seed=1))
    ingest(settings)
    (path,) = batch_paths(data_folder("credit", settings))
    before, modified = batch_facts(path), path.stat().st_mtime_ns
    forgotten(settings, "c1-5")
    after = batch_facts(path)
    assert (after.fingerprint, after.source, after.files) == (before.fingerprint, before.source, before.files)
    assert (after.n_rows, after.n_read, after.n_offered) == (99, 99, 99)
    assert path.stat().st_mtime_ns == modified
    (entry,) = data_history("credit", settings).batches
    assert (entry.n_rows, entry.n_quarantined, entry.ingested_at is None) == (99, 0, False)
