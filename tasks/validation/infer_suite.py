"""Infer a model's suite again from its source, by the kinds of its model file, and keep what a person wrote."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.load import load_model_config
from config.schema import ModelConfig
from config.settings import Settings
from core.data.columns import column_types
from core.data.sql import literal, quoted
from core.errors import StorageError
from core.init.columns import MAX_CATEGORY_LEVELS, ColumnStatistics, TargetDecision
from core.init.model_file import Findings
from core.init.suite import suite_content
from core.init.suite_update import SuiteUpdate, updated_suite
from tasks.source.engine import ingestion_engine, reading, removed_after_error, scratch_folder
from tasks.source.stage import stage_rows
from tasks.validation.expectations import Expected, parsed_expectations, present_suite, refuse_unfit

if TYPE_CHECKING:
    import duckdb

_log = logging.getLogger("perennial.init")


@dataclass(frozen=True)
class InferredSuite:
    """The suite that was written, and what has changed in it."""

    path: Path
    update: SuiteUpdate
    n_rows: int


def infer_suite(model: str, settings: Settings) -> InferredSuite:
    """Infer a model's suite from the rows of its source as an ingestion reads them, and write it.

    What a person wrote or changed stays, see :func:`core.init.suite_update.updated_suite`. A repeat writes the same
    file; if the call fails, the file is unchanged.

    Raises
    ------
    ConfigError
        There is no such model, the suite is malformed, or an expectation that a person wrote does not fit the model
        file.
    SourceError, SchemaError
        The rows cannot be read by the model file.
    StorageError
        The disk is full, or the suite cannot be written.
    """
    config = load_model_config(settings.root, model)
    path = settings.root / config.validation.suite
    old = present_suite(config, settings) if path.exists() else {"expectations": []}
    present = parsed_expectations(old, config)
    with scratch_folder(settings, "suite-") as folder:
        rows = stage_rows(config, settings, folder)
        with ingestion_engine(settings, folder) as connection, reading(rows.source):
            columns = dict(_statistics(connection, rows.path, rows.n_rows, config))
    update = updated_suite(old, suite_content(_findings(columns, config), config))
    refuse_unfit(
        _kept(present, old, update),
        config,
        "A person wrote or changed these expectations: remove or correct them, then run the command again",
    )
    _write(path, json.dumps(update.content, indent=2, ensure_ascii=False) + "\n")
    _log.info("inferred the suite of %s from %s rows", model, f"{rows.n_rows:,}")
    return InferredSuite(path, update, rows.n_rows)


def _kept(present: tuple[Expected, ...], old: dict[str, Any], update: SuiteUpdate) -> list[Expected]:
    kept = set(map(id, update.kept))
    return [one for one, item in zip(present, old["expectations"], strict=True) if id(item) in kept]


def _findings(columns: dict[str, ColumnStatistics], config: ModelConfig) -> Findings:
    goal = TargetDecision(config.task, "as declared", classes=columns[config.target].levels)
    return Findings(
        name=config.model, source={}, columns=columns, target=config.target, goal=goal, kinds={}, time=config.time
    )


def _statistics(
    connection: duckdb.DuckDBPyConnection, staged: Path, n_rows: int, config: ModelConfig
) -> Iterator[tuple[str, ColumnStatistics]]:
    """Yield the statistics of the declared columns that a suite is inferred from, one query per column."""
    connection.execute(f"CREATE VIEW staged AS SELECT * FROM read_parquet({literal(str(staged))})")  # noqa: S608 - our own file
    for name, kind in column_types(config).items():
        column = quoted(name)
        known: dict[str, Any] = {"levels": (), "n_distinct": 0}
        if kind in ("DOUBLE", "TIMESTAMP"):
            low, high = ("minimum", "maximum") if kind == "DOUBLE" else ("earliest", "latest")
            known[low], known[high] = _one(connection, f"min({column}), max({column})")
        if kind == "DOUBLE" and config.time is not None:
            (known["time_correlation"],) = _one(connection, f"corr({column}, epoch({quoted(config.time)}))")
        if name in config.features.categorical or (name == config.target and kind == "VARCHAR"):
            known["levels"] = tuple(_levels(connection, column))
        (n_values,) = _one(connection, f"count({column})")
        yield name, ColumnStatistics(name=name, type_name=kind, n_rows=n_rows, n_missing=n_rows - n_values, **known)


def _one(connection: duckdb.DuckDBPyConnection, aggregates: str) -> tuple[Any, ...]:
    return connection.execute(f"SELECT {aggregates} FROM staged").fetchall()[0]  # noqa: S608 - quoted names


def _levels(connection: duckdb.DuckDBPyConnection, column: str) -> list[tuple[str, int]]:
    rest = f"WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {MAX_CATEGORY_LEVELS + 1}"
    return connection.execute(f"SELECT {column}, count(*) FROM staged {rest}").fetchall()  # noqa: S608 - quoted names


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with removed_after_error(temporary):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
