"""Forget an entity: remove its rows wherever the platform holds them, and say what remains."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from config.load import load_model_config
from config.schema import ModelConfig
from config.settings import Settings
from core.data.cells import missing_texts, text_cell, whole_text
from core.erasure.mentions import mentions
from core.erasure.outcome import ErasureOutcome, ErasureRecord, Found, Remaining, Removed, together
from core.errors import ConfigError
from core.row_limits import MAX_KEY
from store.database import open_database
from store.erasure.records import begin_erasure, erasures, finish_erasure
from store.erasure.rows import (
    count_key_labels,
    count_logged,
    empty_write_ahead_log,
    erase_key_labels,
    erase_logged,
)
from tasks.erasure.batches import erase_batches
from tasks.erasure.reports import erase_reports
from tasks.erasure.rows import Entity, key_reader
from tasks.erasure.scorings import erase_scorings
from tasks.erasure.work import Erasure
from tasks.runs.actor import actor
from tasks.runs.lock import hold_model
from tasks.source.read import shown_source
from tasks.versions.leases import removing

SOURCE = "not the platform's: delete the rows there first, or a later ingestion brings back what it still delivers"
DATABASE = "backups of the database; in PostgreSQL also row versions until 'VACUUM prediction_requests, label_history'"
WRITE_AHEAD = "a reader kept SQLite's log of changes from being emptied: run the command again"

_log = logging.getLogger("perennial.forget")


@dataclass(frozen=True)
class ForgetRequest:
    """Whom to forget.

    Parameters
    ----------
    model
        Name of the model.
    key
        The entity's key, as a text or a number is written.
    reason
        Kept in the record, such as the number of the request; without the key.
    """

    model: str
    key: str
    reason: str = ""


def forget(
    request: ForgetRequest, settings: Settings, *, dry_run: bool = False, wait_seconds: float = 0.0
) -> ErasureOutcome:
    """Remove an entity's rows from the log, the labels, batches, quarantine, scorings and what runs left of them.

    Each part may be killed at any moment and run again: a repeat finds what is left. That it was done is recorded
    without the key.

    Parameters
    ----------
    request
        Whom to forget.
    settings
        The project's settings.
    dry_run
        Only look.
    wait_seconds
        Maximum time to wait for a run that holds the model.

    Raises
    ------
    ConfigError
        The model has no key, or the key is none.
    RunInProgressError
        A run holds the model, or a command reads its files.
    StorageError
        A disk, the database or the remote failed; what was removed until then stays removed.
    """
    config = load_model_config(settings.root, request.model)
    entity = Entity(_key_column(config), _key(request, config))
    engine = open_database(settings.database_url)
    with _alone(request.model, settings, wait_seconds, dry_run=dry_run):
        id_ = "" if dry_run else begin_erasure(engine, request.model, actor(), request.reason, datetime.now(UTC))
        with key_reader(entity, request.model, settings) as reader:
            found = _erased(Erasure(config, settings, engine, reader, id_))
        outcome = ErasureOutcome(request.model, dry_run, found.removed, found.remaining, id_)
        if not dry_run:
            finish_erasure(engine, id_, outcome.record(), datetime.now(UTC))
    _log.info("%s: %d rows and files", "would remove" if dry_run else "removed", sum(one.n for one in outcome.removed))
    return outcome


def erasure_records(model: str, settings: Settings) -> list[ErasureRecord]:
    """Return the records of a model's erasures, oldest first."""
    return erasures(open_database(settings.database_url), model)


def _key_column(config: ModelConfig) -> str:
    if config.key is None:
        raise ConfigError(
            f"expected 'key' in the model file of {config.model!r}: without a column of entity keys no row can be "
            "found by one"
        )
    return config.key


def _key(request: ForgetRequest, config: ModelConfig) -> str:
    """Return the key as ingestion, the service and labels read it."""
    cell = text_cell(request.key, missing_texts(config.source.missing))
    if cell is None or "\0" in cell:
        raise ConfigError("expected a key, found a text that means no value; name the entity with --key")
    key = whole_text(cell)
    if len(key) > MAX_KEY:
        raise ConfigError(f"expected a key of at most {MAX_KEY} characters, found {len(key):,}")
    if mentions(request.reason, key) or mentions(request.reason, cell):
        raise ConfigError("the reason contains the key, and it is kept: name the request in another way")
    return key


@contextmanager
def _alone(model: str, settings: Settings, wait_seconds: float, *, dry_run: bool) -> Iterator[None]:
    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(hold_model(model, settings, wait_seconds))
            stack.enter_context(removing(model, settings))
        yield


def _erased(erasure: Erasure) -> Found:
    # Outputs of scorings first: the ids in them lead to labels. The database before the data, whose remote may fail.
    parts = [erase_scorings(erasure), _erase_rows(erasure), erase_batches(erasure), erase_reports(erasure)]
    where = shown_source(erasure.config.source)
    remaining = [Remaining("source", where, SOURCE), Remaining("backups", "database", DATABASE)]
    if not erasure.is_dry and not empty_write_ahead_log(erasure.engine):
        remaining.append(Remaining("backups", "write-ahead log", WRITE_AHEAD))
    return together([*parts, Found((), tuple(remaining))])


def _erase_rows(erasure: Erasure) -> Found:
    engine, model, key = erasure.engine, erasure.model, erasure.key
    logged = (count_logged if erasure.is_dry else erase_logged)(engine, model, key)
    n_labels = (count_key_labels if erasure.is_dry else erase_key_labels)(engine, model, key) + logged.n_labels
    removed = (
        Removed("logged predictions", "prediction_requests", logged.n_predictions),
        Removed("labels", "label_history", n_labels),
    )
    return Found(tuple(one for one in removed if one.n))
