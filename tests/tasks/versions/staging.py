"""Staged rows of the little credit model, made without a source."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from config.settings import Settings
from core.references import StagedRows

TYPES = pa.schema(
    [
        ("id", pa.string()),
        ("default", pa.string()),
        ("income", pa.float64()),
        ("age", pa.float64()),
        ("region", pa.string()),
        ("owner", pa.bool_()),
    ]
)


def credit_rows(first: int, last: int, **changes: Any) -> list[dict[str, Any]]:
    """Rows with the ids ``first`` to ``last`` - 1, any column overridden for all of them."""
    return [
        {
            "id": f"k{number}",
            "default": str(number % 2),
            "income": 1000.5 + number,
            "age": float(20 + number % 50),
            "region": f"r{number % 3}",
            "owner": number % 3 == 0,
            **changes,
        }
        for number in range(first, last)
    ]


def stage(rows: list[dict[str, Any]], folder: Path, source: str = "rows.csv", schema: pa.Schema = TYPES) -> StagedRows:
    """Write rows as ingestion stages them; the fingerprint is of their content."""
    fingerprint = hashlib.sha256("".join(sorted(map(repr, rows))).encode()).hexdigest()
    path = folder / f"staged-{fingerprint[:12]}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return StagedRows(path=path, n_rows=len(rows), source=source, fingerprint=fingerprint)


def batch_files(settings: Settings, model: str = "credit") -> dict[str, bytes]:
    """Everything in a model's data folder, temporary files too."""
    folder = settings.root / "data" / model
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.is_dir() else {}


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Rows of a Parquet file, in order."""
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows
