"""Count the rows of a model's data that its champion was not trained on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from config.schema import ModelConfig
from config.settings import Settings
from core.errors import BundleError, DataVersionError, ModelNotFoundError
from core.operate.retraining import NewRows
from store.champions import current_champion
from store.database import open_database
from tasks.registry.versions import data_version_of
from tasks.versions.known_versions import version_files
from tasks.versions.working_copy import batch_facts, batch_hashes, data_folder

_log = logging.getLogger("perennial.retrain")


def new_rows(config: ModelConfig, data_version: str, settings: Settings) -> NewRows:
    """Count the rows of the working copy's batches that are not in the champion's data version.

    The caller holds the model's lock and has just created the data version of the working copy.

    Raises
    ------
    StorageError
        MLflow, the database or the DVC remote does not answer.
    """
    engine = open_database(settings.database_url)
    champion = current_champion(engine, config.model)
    known = None if champion is None else _data_version(config.model, champion.version, settings)
    hashes = batch_hashes(config.model, settings, engine)
    held = _held(config.model, known, data_version, hashes, settings)
    folder = data_folder(config.model, settings)
    n_rows, n_labelled = _counted([folder / name for name, md5 in hashes.items() if md5 not in held], config.target)
    return NewRows(data_version, champion.version if champion else None, known, n_rows, n_labelled)


def _data_version(model: str, version: int, settings: Settings) -> str | None:
    try:
        return data_version_of(model, version, settings) or None
    except (ModelNotFoundError, BundleError) as error:
        _log.warning("the training data of champion %d is unknown: %s", version, error)
        return None


def _held(
    model: str, known: str | None, data_version: str, hashes: Mapping[str, str], settings: Settings
) -> frozenset[str]:
    """Return hashes of the batches in the champion's data version; empty if that version is lost."""
    if known is None:
        return frozenset()
    if known == data_version:
        return frozenset(hashes.values())
    engine = open_database(settings.database_url)
    try:
        return frozenset(version_files(model, known, settings, engine).values())
    except DataVersionError as error:
        _log.warning("all rows count as new: %s", error)
        return frozenset()


def _counted(paths: list[Path], target: str) -> tuple[int, int]:
    """Count rows and labelled rows of batches; only the target column is read."""
    import pyarrow.parquet as pq

    n_rows = n_labelled = 0
    for path in paths:
        n_rows += batch_facts(path).n_rows
        column = pq.read_table(path, columns=[target])
        if column.num_columns:
            n_labelled += len(column) - column.column(0).null_count
    return n_rows, n_labelled
