"""A stored batch is read as the present model file declares its columns."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from config.schema import ModelConfig
from core.errors import SchemaError
from tasks.versions.batch_columns import batch_columns
from tests.factories import credit_config

ROWS = "SELECT 'a' AS id, '1' AS \"default\", 1.5 AS income, '7' AS age, 'n' AS region"


def read(folder: Path, config: ModelConfig) -> list[tuple[object, ...]]:
    """Write a batch without the column ``owner`` and with ages as text, and read it by a model file."""
    path = folder / "batch.parquet"
    with duckdb.connect() as engine:
        engine.sql(ROWS).write_parquet(str(path))
        return engine.from_parquet(str(path)).select(batch_columns(engine, path, config)).fetchall()


def test_columns_are_those_that_are_declared_now(tmp_path: Path) -> None:
    """A column that the batch lacks is empty, one of another kind is cast, and the order is the model file's."""
    config = credit_config()
    (row,) = read(tmp_path, config)
    found = dict(zip(config.columns, row, strict=True))
    assert (found["age"], found["income"], found["owner"], found["id"]) == (7.0, 1.5, None, "a")


def test_values_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """The message names the column, the batch and an example."""
    config = credit_config(features={"numeric": ["income", "age", "region"], "categorical": []})
    with pytest.raises(SchemaError, match=r"column 'region' is now declared as .* batch\.parquet has 1 other values"):
        read(tmp_path, config)
