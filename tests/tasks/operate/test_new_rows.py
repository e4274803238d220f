"""Rows that the champion was not trained on."""

from __future__ import annotations

from pathlib import Path

from config.settings import Settings
from core.operate.retraining import NewRows
from tasks.operate.new_rows import _held, new_rows
from tasks.versions.versions import write_batch
from tests.factories import credit_config
from tests.tasks.versions.staging import credit_rows, stage


def test_without_a_champion_every_row_is_new(project: Settings, tmp_path: Path) -> None:
    """Labelled ones are counted apart, over all batches."""
    config = credit_config()
    assert new_rows(config, "v", project) == NewRows("v", None, None, 0, 0)
    write_batch(stage(credit_rows(0, 7), tmp_path), config, project)
    write_batch(stage(credit_rows(7, 10, default=None), tmp_path), config, project)
    assert new_rows(config, "v", project) == NewRows("v", None, None, 10, 7)


def test_the_batches_of_the_champions_version_are_not_new(project: Settings) -> None:
    """The working copy's own version holds them all; an unknown one none, and then all rows count."""
    hashes = {"0001-a.parquet": "1" * 32, "0002-b.parquet": "2" * 32}
    assert _held("credit", "v", "v", hashes, project) == set(hashes.values())
    assert _held("credit", None, "v", hashes, project) == set()


def test_a_version_that_is_lost_holds_nothing(project: Settings) -> None:
    """A retraining that might have been unnecessary is better than none for ever."""
    assert _held("credit", "f" * 32 + ".dir", "v", {"0001-a.parquet": "1" * 32}, project) == set()
