"""Rows of a delivery that earlier batches hold already."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from config.load import model_path
from config.schema import ModelConfig
from config.settings import Settings
from core.errors import SourceTooLargeError
from core.references import Batch, RowCounts, StagedRows
from tasks.source.stage import stage_rows
from tasks.versions.batches import known_batch, read_before, write_batch
from tasks.versions.versions import n_distinct_rows
from tests.factories import credit_config, make_project
from tests.tasks.versions.staging import TYPES, credit_rows, rows_of, stage

KEYED = credit_config()
UNKEYED = credit_config(key=None, features={"ignored": ["id"]})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


def batch_path(settings: Settings, name: str) -> Path:
    """Path of a batch in the working copy."""
    return settings.root / "data" / "credit" / f"{name}.parquet"


@pytest.mark.parametrize("config", [UNKEYED, credit_config(key_is_unique=False)], ids=["no key", "repeated key"])
def test_rows_of_earlier_batches_are_left_out_by_number(
    settings: Settings, tmp_path: Path, config: ModelConfig
) -> None:
    """Of m equal rows, k of which are stored, m - k are new: the last ones, in their order."""
    write_batch(stage(credit_rows(0, 50) + credit_rows(0, 5), tmp_path), config, settings)
    grown = credit_rows(0, 60) + credit_rows(0, 5) + credit_rows(3, 8)
    batch = write_batch(stage(grown, tmp_path), config, settings)
    assert rows_of(batch_path(settings, batch.name)) == [*credit_rows(50, 60), *credit_rows(3, 8)]
    assert batch.counts == RowCounts(n_known=55)
    part = write_batch(stage(credit_rows(0, 20), tmp_path), config, settings)
    assert (part.is_new, part.counts) == (False, RowCounts(n_known=20, n_gone=50))
    assert not list((settings.var / "tmp").iterdir())


def test_random_multisets_add_up(settings: Settings, tmp_path: Path) -> None:
    """After deliveries of random rows, each row is stored as often as the delivery that held it most often."""
    rng, most = np.random.default_rng(5), Counter[str]()
    for _ in range(4):
        drawn = [row for number in rng.integers(0, 12, 40) for row in credit_rows(int(number), int(number) + 1)]
        write_batch(stage(drawn, tmp_path), UNKEYED, settings)
        most |= Counter(map(repr, drawn))
    paths = (settings.root / "data" / "credit").iterdir()
    assert Counter(repr(row) for path in paths for row in rows_of(path)) == most


def test_rows_of_another_source_and_appended_rows_are_new(settings: Settings, tmp_path: Path) -> None:
    """Only batches of the same source are compared; with ``source.append`` none is, but the same delivery is known."""
    write_batch(stage(credit_rows(0, 50), tmp_path), UNKEYED, settings)
    other = write_batch(stage(credit_rows(0, 60), tmp_path, source="other.csv"), UNKEYED, settings)
    append = credit_config(key=None, features={"ignored": ["id"]}, source={"append": True})
    rows = stage(credit_rows(0, 40), tmp_path)
    appended = write_batch(rows, append, settings)
    assert [batch.n_rows for batch in (other, appended)] == [60, 40]
    assert appended.counts == RowCounts()
    assert not write_batch(rows, append, settings).is_new


def test_the_spelling_of_a_path_makes_no_other_source(settings: Settings, tmp_path: Path) -> None:
    """``./raw/`` is ``raw``."""
    write_batch(stage(credit_rows(0, 50), tmp_path, source="raw"), UNKEYED, settings)
    assert write_batch(stage(credit_rows(0, 60), tmp_path, source="./raw/"), UNKEYED, settings).n_rows == 10


def test_a_column_declared_later_is_not_compared(settings: Settings, tmp_path: Path) -> None:
    """Without a key, known rows stay known without its values; rows beyond them have it."""
    write_batch(stage(credit_rows(0, 20), tmp_path), UNKEYED, settings)
    wider = credit_config(key=None, features={"ignored": ["id", "note"]})
    with_note = TYPES.append(TYPES.field("region").with_name("note"))
    noted = [{**row, "note": "x"} for row in credit_rows(0, 25)]
    batch = write_batch(stage(noted, tmp_path, schema=with_note), wider, settings)
    assert (batch.n_rows, batch.counts) == (5, RowCounts(n_known=20, not_compared=("note",)))
    more = [{**row, "note": "x"} for row in credit_rows(0, 30)]
    later = write_batch(stage(more, tmp_path, schema=with_note), wider, settings)
    assert (later.n_rows, later.counts.n_known) == (5, 25)


def test_a_column_that_is_no_longer_declared_is_not_compared(settings: Settings, tmp_path: Path) -> None:
    """Rows that differed in that column alone are equal now, and known by number."""
    wider = credit_config(key=None, features={"ignored": ["id", "note"]})
    with_note = TYPES.append(TYPES.field("region").with_name("note"))
    noted = [{**row, "note": note} for row in credit_rows(0, 20) for note in "xy"]
    write_batch(stage(noted, tmp_path, schema=with_note), wider, settings)
    batch = write_batch(stage([*credit_rows(0, 20)] * 2 + credit_rows(20, 23), tmp_path), UNKEYED, settings)
    assert (batch.n_rows, batch.counts) == (3, RowCounts(n_known=40))


@pytest.mark.parametrize(("config", "n_distinct"), [(KEYED, 60), (UNKEYED, 65)], ids=["key", "no key"])
def test_distinct_rows_are_counted(settings: Settings, tmp_path: Path, config: ModelConfig, n_distinct: int) -> None:
    """Whole rows over all batches and sources; with a unique key, one row per key. Without a model file, none."""
    write_batch(stage(credit_rows(0, 50) + credit_rows(0, 5), tmp_path), config, settings)
    write_batch(stage(credit_rows(40, 60) + credit_rows(0, 5, age=1.0), tmp_path, source="b.csv"), config, settings)
    assert n_distinct_rows("credit", settings) is None
    path = model_path(settings.root, "credit")
    path.write_text(config.model_dump_json(exclude_none=True))  # JSON is YAML
    assert n_distinct_rows("credit", settings) == n_distinct


def ingest_folder(config: ModelConfig, settings: Settings, **files: list[dict[str, Any]]) -> tuple[StagedRows, Batch]:
    """Put CSV files into the folder of the source, and ingest it as the flow does, without a validation."""
    folder = settings.root / "raw"
    folder.mkdir(exist_ok=True)
    for name, rows in files.items():
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    staged = stage_rows(config, settings, settings.var / "work", read_before(config, settings))
    return staged, known_batch(staged, config, settings) or write_batch(staged, config, settings)


def folder_config(**source: Any) -> ModelConfig:
    """Build a model file without a key whose source is a folder."""
    return credit_config(key=None, features={"ignored": ["id"]}, source={"uri": "raw", **source})


def test_a_file_that_was_read_before_is_not_read_again(settings: Settings) -> None:
    """Files of a folder are left out with the batches that hold their rows, and the other rows are compared."""
    config, april = folder_config(), credit_rows(0, 30)
    ingest_folder(config, settings, april=april)
    staged, batch = ingest_folder(config, settings, may=credit_rows(25, 40))
    assert (staged.files.n_skipped, staged.n_rows, batch.n_rows, batch.counts) == (1, 15, 15, RowCounts())
    staged, batch = ingest_folder(config, settings)
    assert (staged.files.n_skipped, staged.n_rows, batch.is_new, batch.counts) == (2, 45, False, RowCounts())
    staged, batch = ingest_folder(config, settings, april=[*april, *credit_rows(90, 93)])
    assert (staged.files.n_skipped, batch.n_rows, batch.counts) == (1, 3, RowCounts(n_known=30))
    (settings.root / "raw" / "may.csv").unlink()
    staged, batch = ingest_folder(config, settings)
    assert (staged.files.n_skipped, batch.is_new, batch.counts) == (0, False, RowCounts(n_gone=15))


def test_a_folder_is_the_source_of_its_files(settings: Settings) -> None:
    """The address changes from one file to the folder around it: the file's rows are known."""
    ingest_folder(folder_config(uri="raw/april.csv"), settings, april=credit_rows(0, 30))
    staged, batch = ingest_folder(folder_config(), settings, may=credit_rows(25, 40))
    assert (staged.files.n_skipped, batch.n_rows) == (1, 15)


def test_files_are_read_again_after_a_change_of_how_they_are_read(settings: Settings) -> None:
    """Another text that means no value: the changed rows are new, the old ones are told to be gone."""
    rows = [{**row, "region": "none"} if number < 4 else row for number, row in enumerate(credit_rows(0, 30))]
    ingest_folder(folder_config(), settings, april=rows)
    staged, batch = ingest_folder(folder_config(missing=("", "none")), settings)
    assert (staged.files.n_skipped, batch.n_rows, batch.counts) == (0, 4, RowCounts(n_known=26, n_gone=4))


def test_each_file_of_an_appending_source_is_read_once(settings: Settings) -> None:
    """All rows of a new file are new, also those that other files have; a known file is not read again."""
    config = folder_config(append=True)
    ingest_folder(config, settings, april=credit_rows(0, 30))
    staged, batch = ingest_folder(config, settings, may=credit_rows(0, 20))
    assert (staged.files.n_skipped, batch.n_rows, batch.counts) == (1, 20, RowCounts())
    assert not ingest_folder(config, settings)[1].is_new


def test_with_a_key_only_the_files_of_the_newest_batch_are_left_out(settings: Settings) -> None:
    """Older files may revert rows that a newer one changed, so they are read; their rows are compared by key."""
    config = credit_config(source={"uri": "raw"})
    ingest_folder(config, settings, rows=credit_rows(0, 30))
    staged, batch = ingest_folder(config, settings)
    assert (staged.has_rows, staged.n_rows, batch.is_new) == (False, 30, False)
    ingest_folder(config, settings, rows=[*credit_rows(0, 5, income=1.0), *credit_rows(5, 35)])
    staged, batch = ingest_folder(config, settings)
    assert (staged.has_rows, staged.n_rows, batch.n_rows, batch.is_new) == (False, 35, 10, False)
    staged, batch = ingest_folder(config, settings, rows=credit_rows(0, 30))
    assert (staged.has_rows, batch.is_new, batch.counts.n_replaced) == (True, True, 5)
    staged, batch = ingest_folder(config, settings, more=credit_rows(30, 31))
    assert (staged.has_rows, staged.files.n_skipped) == (True, 0)


@pytest.mark.parametrize("keyed", [True, False], ids=["key", "no key"])
def test_known_files_of_more_rows_than_allowed_are_refused(settings: Settings, keyed: bool) -> None:
    """The limit is lower now; that no row would be read is no exception."""
    config = credit_config(source={"uri": "raw"}) if keyed else folder_config()
    ingest_folder(config, settings, rows=credit_rows(0, 30))
    lower = settings.model_copy(update={"max_rows": 29})
    with pytest.raises(SourceTooLargeError, match=r"has 30 rows, the limit is 29"):
        stage_rows(config, lower, settings.var / "work", read_before(config, settings))


def test_files_whose_rows_were_set_aside_are_read_again(settings: Settings) -> None:
    """The batch does not hold all rows of its file, so the file is compared row by row."""
    config = folder_config()
    (settings.root / "raw").mkdir()
    pd.DataFrame(credit_rows(0, 30)).to_csv(settings.root / "raw" / "april.csv", index=False)
    staged = stage_rows(config, settings, settings.var / "work", read_before(config, settings))
    write_batch(staged, config, settings, n_quarantined=2)
    assert ingest_folder(config, settings, may=credit_rows(30, 40))[0].files.n_skipped == 0


def test_what_a_delivery_with_a_key_brought_is_counted(settings: Settings, tmp_path: Path) -> None:
    """Known rows, rows that replace an older one, and keys of the source that are gone."""
    write_batch(stage(credit_rows(0, 50), tmp_path), KEYED, settings)
    write_batch(stage(credit_rows(90, 95), tmp_path, source="other.csv"), KEYED, settings)
    offered = [*credit_rows(10, 40), *credit_rows(40, 45, income=1.0), *credit_rows(50, 52)]
    batch = write_batch(stage(offered, tmp_path), KEYED, settings)
    assert (batch.n_rows, batch.counts) == (7, RowCounts(n_known=30, n_replaced=5, n_gone=15))
