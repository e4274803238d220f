"""A reference to one measurement of drift: the rows, what they are compared with, and the rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from config.schema import ModelConfig

CHAMPION = "champion"


@dataclass(frozen=True)
class AnsweredRows:
    """Rows that one version answered in one role.

    Parameters
    ----------
    version, variant
        The version, and ``champion`` or ``challenger``.
    n_rows
        Number of rows.
    """

    version: int
    variant: str
    n_rows: int


@dataclass(frozen=True)
class LoggedWindow:
    """A range of the prediction log.

    Parameters
    ----------
    since, until
        Range of the times of the answers, ``until`` exclusive, with time zone.
    as_of
        Labels that were known by this time count, with time zone.
    answered
        The range's rows by version and role.
    n_shadow, n_failed
        Rows that only a shadow answered, and rows that got no answer; neither is part of the window.
    """

    since: datetime
    until: datetime
    as_of: datetime
    answered: tuple[AnsweredRows, ...]
    n_shadow: int = 0
    n_failed: int = 0


@dataclass(frozen=True)
class MonitoredWindow:
    """Rows of some batches that are compared with a champion's.

    Parameters
    ----------
    config
        The model file with its overrides.
    champion, manifest
        The champion's version and the SHA-256 of its bundle's manifest.
    against
        What the rows are compared with: ``champion`` for the rows that it was trained on, or a data version.
    paths
        Files of the batches.
    since, until
        Range of the model's time column, ``until`` exclusive; None for no bound.
    known
        Whether the champion may have been trained on some of these rows.
    exact
        Whether to compute distances of the values themselves in addition to those of the bins.
    notes
        Sentences about the choice of the batches.
    id
        Id of the decision, 64 hex digits: equal for the same rows, reference and rules.
    folder
        Folder of the report.
    before
        Files of the newest batches before the window that the champion was not trained on.
    log
        Range of the prediction log that the rows come from instead of batches; None for batches.
    """

    config: ModelConfig
    champion: int
    manifest: str
    against: str
    paths: tuple[Path, ...]
    since: datetime | None
    until: datetime | None
    known: bool
    exact: bool
    notes: tuple[str, ...]
    id: str
    folder: Path
    before: tuple[Path, ...] = ()
    log: LoggedWindow | None = None
