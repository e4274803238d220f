"""Which rows of a delivery are in earlier batches already, found by hashes of whole rows in DuckDB.

DuckDB's own 64-bit hash suffices, because both sides are hashed now, by one release. The probability that one of ten
million rows has the hash of another among ten million stored rows is 5e-6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from config.schema import ModelConfig
from core.data.sql import literal, quoted
from core.references import RowCounts
from tasks.versions.batch_columns import batch_columns

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import numpy.typing as npt

_PLACE = '"perennial place"'
_BUFFER = 2**20
_ROWS = 16_384  # of a record batch when rows are copied: a wide row group is not held at once


@dataclass(frozen=True, eq=False)
class Comparison:
    """Which rows of a delivery are left out.

    Parameters
    ----------
    is_known
        Shape (n_rows,), bool: the row is left out.
    counts
        Numbers of the comparison.
    """

    is_known: npt.NDArray[np.bool_]
    counts: RowCounts

    def write_new(self, rows: Path, target: Path) -> None:
        """Copy the rows that are not known, in their order."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        first = 0
        # Without a buffer size, a whole column of a row group is read at once; with threads, more of the file.
        with (
            pq.ParquetFile(rows, buffer_size=_BUFFER) as parquet,
            pq.ParquetWriter(target, parquet.schema_arrow) as writer,
        ):
            for group in range(parquet.num_row_groups):
                n_rows = parquet.metadata.row_group(group).num_rows
                # A row group of known rows is not read.
                n_read = 0 if self.is_known[first : first + n_rows].all() else n_rows
                for batch in parquet.iter_batches(_ROWS, row_groups=[group] * bool(n_read), use_threads=False):
                    is_new = ~self.is_known[first : first + batch.num_rows]
                    first += batch.num_rows
                    writer.write_batch(batch.filter(pa.array(is_new)))
                first += n_rows - n_read


def compare_whole_rows(
    engine: duckdb.DuckDBPyConnection, rows: Path, stored: Sequence[Path], config: ModelConfig
) -> Comparison:
    """Compare rows with stored ones by number: of m equal rows, k of which are stored, the last max(0, m - k) are new.

    Columns that a batch lacks are not compared with it, and neither are columns that are no longer declared: a row is
    known although the batch has it without a column that was declared later.

    Parameters
    ----------
    engine
        An empty database.
    rows
        Parquet file in the contract's types.
    stored
        Batches of the same source.
    """
    engine.execute("CREATE TEMP TABLE known (place BIGINT)")
    n_stored = 0
    not_compared: set[str] = set()
    for columns, sources in _by_columns(engine, stored, config).items():
        not_compared |= set(config.columns) - set(columns)
        n_stored += _match(engine, rows, columns, sources)
    is_known = _mask(engine, rows)
    n_known = int(is_known.sum())
    absent = tuple(column for column in config.columns if column in not_compared)
    return Comparison(is_known, RowCounts(n_known=n_known, n_gone=n_stored - n_known, not_compared=absent))


def compare_by_key(
    engine: duckdb.DuckDBPyConnection, rows: Path, stored: Sequence[tuple[Path, bool]], config: ModelConfig
) -> Comparison:
    """Compare rows with the newest stored row of their key: equal ones are known.

    A key that is offered more than once is compared by its last row; either all its rows are known, or none.

    Parameters
    ----------
    engine
        An empty database.
    rows
        Parquet file in the contract's types.
    stored
        All batches in order, each with whether it is of the same source.
    """
    _hash_keys(engine, "offered", [(_numbered(rows), True)], config)
    files = [(_numbered(path, batch_columns(engine, path, config)), ours) for path, ours in stored]
    _hash_keys(engine, "stored", files, config)
    for table in ("offered", "stored"):
        newest = f"SELECT k, arg_max(h, place) AS h, arg_max(ours, place) AS ours FROM {table} GROUP BY k"  # noqa: S608 - constants
        engine.execute(f"CREATE TEMP TABLE newest_{table} AS {newest}")
    same = "SELECT k FROM newest_offered JOIN newest_stored USING (k, h)"
    engine.execute(f"CREATE TEMP TABLE known AS SELECT place FROM offered SEMI JOIN ({same}) USING (k)")  # noqa: S608 - constants
    is_known = _mask(engine, rows)
    changed = "SELECT count(*) FROM newest_offered AS a JOIN newest_stored AS b USING (k) WHERE a.h <> b.h"
    gone = "SELECT count(*) FROM newest_stored ANTI JOIN newest_offered USING (k) WHERE ours"
    n_replaced, n_gone = (int(engine.execute(query).fetchall()[0][0]) for query in (changed, gone))
    return Comparison(is_known, RowCounts(int(is_known.sum()), n_replaced, n_gone))


def count_distinct(engine: duckdb.DuckDBPyConnection, stored: Sequence[Path], config: ModelConfig) -> int:
    """Count stored rows once each: distinct rows of the declared columns, or with a unique key one row per key."""
    engine.execute("CREATE TEMP TABLE identities (h UBIGINT)")
    identity = f"hash({', '.join(map(quoted, config.columns))})"
    if config.key is not None and config.key_is_unique:
        identity = f"CASE WHEN {quoted(config.key)} IS NULL THEN {identity} ELSE hash({quoted(config.key)}) END"
    for path in stored:
        rows = f"SELECT {batch_columns(engine, path, config)} FROM read_parquet({literal(str(path))})"  # noqa: S608 - quoted
        engine.execute(f"INSERT INTO identities SELECT DISTINCT {identity} FROM ({rows})")  # noqa: S608 - quoted
    ((n_distinct,),) = engine.execute("SELECT count(DISTINCT h) FROM identities").fetchall()
    return int(n_distinct)


def _by_columns(
    engine: duckdb.DuckDBPyConnection, stored: Sequence[Path], config: ModelConfig
) -> dict[tuple[str, ...], list[str]]:
    """Return a SELECT per batch, by the declared columns that the batches have; those with the most come first."""
    import pyarrow.parquet as pq

    groups: dict[tuple[str, ...], list[str]] = {}
    for path in stored:
        present = set(pq.read_schema(path).names)
        rows = f"SELECT {batch_columns(engine, path, config)} FROM read_parquet({literal(str(path))})"  # noqa: S608 - quoted
        groups.setdefault(tuple(column for column in config.columns if column in present), []).append(rows)
    return {columns: groups[columns] for columns in sorted(groups, key=len, reverse=True) if columns}


def _match(engine: duckdb.DuckDBPyConnection, rows: Path, columns: Iterable[str], sources: Iterable[str]) -> int:
    """Add the places of rows that match stored ones to the table ``known``; return the number of stored rows."""
    row_hash = f"hash({', '.join(map(quoted, columns))})"
    engine.execute("CREATE OR REPLACE TEMP TABLE hashes (h UBIGINT)")
    for source in sources:
        engine.execute(f"INSERT INTO hashes SELECT {row_hash} FROM ({source})")  # noqa: S608 - quoted
    engine.execute("CREATE OR REPLACE TEMP TABLE stored AS SELECT h, count(*) AS k FROM hashes GROUP BY h")
    engine.execute("DROP TABLE hashes")
    hashed = f"SELECT {row_hash} AS h, {_PLACE} AS place FROM ({_numbered(rows)})"  # noqa: S608 - quoted
    engine.execute(f"CREATE OR REPLACE TEMP TABLE offered AS FROM ({hashed}) ANTI JOIN known USING (place)")
    n_offered = "SELECT h, count(*) AS m FROM offered GROUP BY h"
    engine.execute(f"CREATE OR REPLACE TEMP TABLE matched AS FROM stored JOIN ({n_offered}) USING (h)")
    engine.execute("INSERT INTO known SELECT place FROM offered SEMI JOIN (FROM matched WHERE k >= m) USING (h)")
    # Only where more are offered than stored does the order of the rows matter.
    engine.execute(
        "INSERT INTO known SELECT place FROM offered JOIN (FROM matched WHERE k < m) USING (h) "
        "QUALIFY row_number() OVER (PARTITION BY h ORDER BY place) <= k"
    )
    ((n_stored,),) = engine.execute("SELECT coalesce(sum(k), 0) FROM stored").fetchall()
    return int(n_stored)


def _numbered(path: Path, columns: str = "*") -> str:
    """Return a SELECT of columns of a file, and of each row's number from 0."""
    return f"SELECT {columns}, row_number() OVER () - 1 AS {_PLACE} FROM read_parquet({literal(str(path))})"  # noqa: S608 - quoted


def _mask(engine: duckdb.DuckDBPyConnection, rows: Path) -> npt.NDArray[np.bool_]:
    import numpy as np
    import pyarrow.parquet as pq

    is_known = np.zeros(pq.read_metadata(rows).num_rows, dtype=bool)
    for batch in engine.sql("SELECT place FROM known").to_arrow_reader(1 << 17):
        is_known[batch.column(0).to_numpy()] = True
    return is_known


def _hash_keys(
    engine: duckdb.DuckDBPyConnection, table: str, sources: Iterable[tuple[str, bool]], config: ModelConfig
) -> None:
    assert config.key is not None, "only rows with a key are compared"  # noqa: S101 - tells mypy what holds
    columns = ", ".join(quoted(column) for column in config.columns)
    # A row without a key has its own key.
    key = f"coalesce({quoted(config.key)}, chr(0) || hash({columns})::VARCHAR)"
    engine.execute(f"CREATE TEMP TABLE {table} (k VARCHAR, h UBIGINT, place BIGINT, ours BOOLEAN)")
    for number, (source, ours) in enumerate(sources):
        place = f"{_PLACE} + {number} * 1000000000000"
        engine.execute(f"INSERT INTO {table} SELECT {key}, hash({columns}), {place}, {ours} FROM ({source})")  # noqa: S608 - quoted
