"""Load the rows of a snapshot for training."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from config.schema import ModelConfig
from core.data.columns import column_types
from core.data.rows import Rows
from core.data.split import feature_hashes
from core.data.sql import literal, quoted, row_hash_sql
from core.errors import SchemaError, StorageError
from core.references import Snapshot
from core.text import counted
from tasks.versions.batch_columns import batch_columns
from tasks.versions.working_copy import batch_paths

if TYPE_CHECKING:
    import duckdb

_log = logging.getLogger("perennial.rows")

ROW_ID = "perennial row id"
"""Name of the column of row ids beside a batch's own."""


def load_rows(snapshot: Snapshot, config: ModelConfig) -> Rows:
    """Load the labelled rows of a snapshot.

    Batches written under an older contract are cast to the present one. With a unique key, the last row of each key
    is used, even if it has no label; all rows without a key are used.

    Returns
    -------
    Rows
        ``frame``: RangeIndex, columns ``config.columns``: float64, pandas ``str``, ``boolean``, datetime64[us]; batch
        order, then row order. ``row_ids``: hash of the key; of a row without one, of all declared columns but the
        target. The same row has the same id in every version.

    Raises
    ------
    SchemaError
        A stored value does not fit the type that the model file declares now, or no row has a label.
    StorageError
        A file of the snapshot cannot be read.
    """
    import pyarrow as pa

    paths = batch_paths(snapshot.path)
    with _engine(snapshot.path) as engine:
        tables = [_batch(engine, path, config) for path in paths]
    if not tables:
        raise SchemaError(f"data version {snapshot.version} of {snapshot.model!r} contains no batch; ingest rows first")
    table = pa.concat_tables(tables)
    row_ids = table.column(ROW_ID).to_numpy()
    table = table.drop_columns([ROW_ID])
    current = _current(table, row_ids, config) if len(paths) > 1 else np.ones(len(row_ids), dtype=bool)
    labelled = np.asarray(table.column(config.target).is_valid())
    kept = current & labelled
    if not kept.any():
        raise SchemaError(
            f"no row of data version {snapshot.version} has a value in the target {config.target!r}; add labelled rows"
        )
    if not kept.all():
        table, row_ids = table.filter(pa.array(kept)), row_ids[kept]
    frame = table_frame(table)
    rows = Rows(
        frame=frame,
        row_ids=row_ids,
        n_unlabelled=int((current & ~labelled).sum()),
        n_superseded=int((~current).sum()),
        n_repeated=_n_repeated(frame, row_ids, config),
    )
    loaded, from_batches = counted(len(row_ids), "labelled row"), counted(len(paths), "batch", "batches")
    distinct = f" ({rows.n_distinct:,} distinct)" if rows.n_repeated else ""
    _log.info("loaded %s%s from %s", loaded, distinct, from_batches)
    return rows


def row_id_sql(config: ModelConfig) -> str:
    """Return the SQL of a row's id: hash of its key; of a row without one, of all columns but the target."""
    content = [column for column in config.columns if column != config.target]
    of_content = row_hash_sql(content, column_types(config))
    if config.key is None:
        return of_content
    # A key is canonical text, whatever the contract declares for other columns, so its MD5 suffices, in half the time.
    return f"CASE WHEN {quoted(config.key)} IS NULL THEN {of_content} ELSE md5_number_lower({quoted(config.key)}) END"


def _batch(engine: duckdb.DuckDBPyConnection, path: Path, config: ModelConfig) -> Any:
    import duckdb

    row_id = f"{row_id_sql(config)} AS {quoted(ROW_ID)}"
    source = f"read_parquet({literal(str(path))})"
    try:
        declared = f"SELECT {batch_columns(engine, path, config)} FROM {source}"  # noqa: S608 - names are quoted
        return engine.sql(f"SELECT *, {row_id} FROM ({declared})").to_arrow_table()  # noqa: S608 - names are quoted
    except duckdb.Error as error:
        raise StorageError(
            f"{path} cannot be read: {str(error).splitlines()[0]}; remove the folder {path.parent} and run again"
        ) from error


def _current(table: Any, row_ids: npt.NDArray[np.uint64], config: ModelConfig) -> npt.NDArray[np.bool_]:
    if config.key is None or not config.key_is_unique:
        return np.ones(len(row_ids), dtype=bool)
    # The id is the key's 64-bit hash: comparing ids is twenty times faster than comparing texts. Among a hundred
    # million keys, two have the same id with probability 3e-4.
    superseded = pd.Series(row_ids).duplicated(keep="last").to_numpy(dtype=bool)
    has_key: npt.NDArray[np.bool_] = np.asarray(table.column(config.key).is_valid())
    return ~(superseded & has_key)


def _n_repeated(frame: pd.DataFrame, row_ids: npt.NDArray[np.uint64], config: ModelConfig) -> int:
    if config.key is not None and config.key_is_unique and frame[config.key].notna().all():
        return 0
    # Without a key, the id covers every column but the target.
    rest = (config.target,) if config.key is None else config.columns
    return int(pd.Series(row_ids ^ feature_hashes(frame, rest)).duplicated().sum())


def table_frame(table: Any) -> pd.DataFrame:
    """Return the frame of an Arrow table, typed as by :func:`load_rows`; the table is consumed."""
    import pyarrow as pa

    nullable: Mapping[Any, Any] = {pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get, split_blocks=True, self_destruct=True)
    return frame


@contextmanager
def _engine(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb

    engine = duckdb.connect(config={"temp_directory": str(folder.parent / ".spill")})
    try:
        # As at ingestion: a text date without offset is UTC, whatever the machine's time zone.
        engine.execute("SET TimeZone = 'UTC'")
        yield engine
    finally:
        engine.close()
