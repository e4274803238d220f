"""A sample of a model's training rows as a file of its bundle: the reference rows that drift reports draw."""

from __future__ import annotations

import io
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
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / REFERENCE_ROWS
    remedy = "train the model again, then monitor the new version"
    if not path.is_file():
        raise BundleError(f"this version was registered before models were monitored: it has no {path.name}; {remedy}")
    try:
        with pq.ParquetFile(path) as parquet:
            found, n_rows = parquet.schema_arrow.names, parquet.metadata.num_rows
            if found != _columns(contract) or n_rows > MAX_ROWS:
                raise BundleError(f"{path.name} has other columns than the contract, or too many rows; {remedy}")
        return pd.read_parquet(path)
    except (OSError, pa.ArrowException) as error:
        cause = str(error).partition("\n")[0]
        raise BundleError(f"{path.name} cannot be read ({type(error).__name__}: {cause[:200]}); {remedy}") from error


def _columns(contract: FeatureContract) -> list[str]:
    return [*contract.raw_columns, contract.target]
