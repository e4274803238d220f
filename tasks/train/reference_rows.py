"""A sample of a model's training rows as a file of its bundle: the reference rows that drift reports draw."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from core.errors import BundleError
from core.feature_contract import FeatureContract

REFERENCE_ROWS = "reference.parquet"
CBPE = "cbpe.json"
"""Statistics for estimating a classifier's performance without labels, see :mod:`core.performance.cbpe`."""

MOVING = "moving.json"
"""Columns that move by construction, see :mod:`core.drift.moving`; only if there are any."""

HISTORY = "history.json"
"""Performance by period, see :mod:`core.performance.history`; only of models with a time column."""

MAX_ROWS = 5_000
"""Rows kept: enough to draw a distribution; the profile in the bundle counts all rows."""

REMEDY = "train the model again, then monitor the new version"


def reference_rows(frame: pd.DataFrame, contract: FeatureContract, seed: int) -> pd.DataFrame:
    """Draw at most 5,000 rows, in their order: the contract's raw columns and the target.

    Parameters
    ----------
    seed
        The same seed draws the same rows.
    """
    drawn = frame if len(frame) <= MAX_ROWS else frame.sample(MAX_ROWS, random_state=seed).sort_index()
    return drawn[_columns(contract)]


def reference_rows_file(frame: pd.DataFrame, contract: FeatureContract, seed: int) -> bytes:
    """Write a sample of all training rows as Parquet, see :func:`reference_rows`."""
    buffer = io.BytesIO()
    reference_rows(frame, contract, seed).to_parquet(buffer, index=False)
    return buffer.getvalue()


def read_reference_rows(folder: Path, contract: FeatureContract) -> pd.DataFrame:
    """Read what :func:`reference_rows_file` wrote into a verified bundle.

    Raises
    ------
    BundleError
        The bundle is older than monitoring, or the file has other content.
    """
    path = folder / REFERENCE_ROWS
    if not path.is_file():
        raise BundleError(f"this version was registered before models were monitored: it has no {path.name}; {REMEDY}")
    return read_rows(path, _columns(contract), MAX_ROWS)


def read_rows(path: Path, columns: Sequence[str], max_rows: int) -> pd.DataFrame:
    """Read rows that a bundle holds as Parquet; the footer is checked before a value is read.

    Parameters
    ----------
    path
        A file of a verified bundle.
    columns
        The names that it must have, in order.
    max_rows
        Maximum number of rows.

    Raises
    ------
    BundleError
        The file has other content.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as parquet:
            found, n_rows = parquet.schema_arrow.names, parquet.metadata.num_rows
        if found != list(columns) or n_rows > max_rows:
            raise BundleError(f"{path.name} has other columns than the contract, or too many rows; {REMEDY}")
        return pd.read_parquet(path)
    except (OSError, pa.ArrowException) as error:
        cause = str(error).partition("\n")[0]
        raise BundleError(f"{path.name} cannot be read ({type(error).__name__}: {cause[:200]}); {REMEDY}") from error


def _columns(contract: FeatureContract) -> list[str]:
    return [*contract.raw_columns, contract.target]
