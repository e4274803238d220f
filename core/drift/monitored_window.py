"""The reference of one look at a model's rows: which rows, against what, decided by which rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from config.schema import ModelConfig

CHAMPION = "champion"


@dataclass(frozen=True)
class MonitoredWindow:
    """Rows of some batches, beside a champion.

    Parameters
    ----------
    config
        The model file with its overrides.
    champion, manifest
        The champion's version and the SHA-256 of its bundle's manifest.
    against
        ``champion``: the rows it was trained on; or a data version.
    paths
        Batches the rows are in.
    since, until
        Range of the model's time column, the second exclusive; None: open.
    known
        Whether the champion may have trained on some of these rows.
    exact
        Whether distances of the values themselves are asked for beside those of the bins.
    notes
        What is to be said about the choice.
    id
        Of the decision, 64 hex digits: the same rows, reference and rules have the same.
    folder
        Where the report goes.
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
