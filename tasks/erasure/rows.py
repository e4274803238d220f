"""Rows of an entity in a Parquet or CSV file: their numbers, and the file without them.

A file without these rows depends on the file alone, so a repeat writes the same bytes.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from config.settings import Settings
from core.data.cells import whole_text
from core.data.sql import Cast, quoted
from core.storage_failure import storage_errors
from tasks.source.engine import ingestion_engine, removed_after_error, scratch_folder

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


@dataclass(frozen=True)
class Entity:
    """Whose rows are looked for.

    Parameters
    ----------
    column
        Name of the key's column.
    key
        The key, as ingestion reads it.
    """

    column: str
    key: str


@dataclass(frozen=True)
class KeyReader:
    """Finds an entity's rows in files; from :func:`key_reader`."""

    engine: duckdb.DuckDBPyConnection
    entity: Entity

    def rows(self, path: Path) -> npt.NDArray[np.int64]:
        """Return the numbers of the entity's rows in a Parquet file, from 0, ascending; none without the column.

        Raises
        ------
        StorageError
            The file cannot be read.
        """
        import numpy as np

        none = np.empty(0, dtype=np.int64)
        described = self.engine.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
        kinds = {str(row[0]): str(row[1]) for row in described}
        if self.entity.column not in kinds:
            return none
        cast = Cast(self.entity.column, kinds[self.entity.column], "VARCHAR")
        if cast.problem is not None:
            return none
        value = _key_text(cast)
        query = (
            f"SELECT file_row_number FROM read_parquet(?, file_row_number = true) "  # noqa: S608 - the name is quoted
            f"WHERE {value} = ? ORDER BY 1"
        )
        found = self.engine.execute(query, [str(path), self.entity.key]).fetchnumpy()["file_row_number"]
        return np.asarray(found, dtype=np.int64)

    def values(self, path: Path, column: str) -> list[str]:
        """Return the values of a column in the entity's rows of a Parquet file, as texts."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        chosen = self.rows(path)
        if not len(chosen) or column not in pq.read_schema(path).names:
            return []
        return [str(one) for one in pq.read_table(path, columns=[column]).column(0).take(pa.array(chosen)).to_pylist()]


def _key_text(cast: Cast) -> str:
    if cast.found in ("FLOAT", "DOUBLE"):
        return f"CASE WHEN isfinite({quoted(cast.column)}) THEN {cast.value} END"
    # Rows that a scoring set aside have the text of the input, with its spaces.
    return f"trim({cast.value})" if cast.found == "VARCHAR" else cast.value


@contextmanager
def key_reader(entity: Entity, model: str, settings: Settings) -> Iterator[KeyReader]:
    """Open what finds an entity's rows."""
    with scratch_folder(settings, f"{model}.forget-") as work, ingestion_engine(settings, work) as engine:
        yield KeyReader(engine, entity)


def write_without(
    path: Path, target: Path, rows: npt.NDArray[np.int64], notes: Mapping[str, str], time: str | None = None
) -> None:
    """Write a Parquet file without some of its rows; row groups, types and all other notes stay.

    Parameters
    ----------
    path, target
        The file, and where to write.
    rows
        Numbers of the rows to leave out, ascending.
    notes
        Notes of the footer to replace, by name without the prefix ``perennial.``.
    time
        Column whose first and last value of the rows that are left replace the notes ``first_time`` and ``last_time``.
    """
    import pyarrow.parquet as pq

    times: list[datetime] = []
    with pq.ParquetFile(path) as source:
        schema = source.schema_arrow
        compression = source.metadata.row_group(0).column(0).compression if source.num_row_groups else "SNAPPY"
        with pq.ParquetWriter(target, schema.remove_metadata(), compression=compression) as writer:
            first = 0
            for number in range(source.num_row_groups):
                group = source.read_row_group(number)
                kept = _kept(group, rows, first)
                first += group.num_rows
                if kept.num_rows:
                    writer.write_table(kept, row_group_size=kept.num_rows)
                    times += _times(kept, time)
            old = {name.decode(): text.decode() for name, text in (source.metadata.metadata or {}).items()}
            changed = {f"perennial.{name}": text for name, text in {**notes, **_time_notes(times, old)}.items()}
            kept_notes = {**{name: text for name, text in old.items() if name != "ARROW:schema"}, **changed}
            writer.add_key_value_metadata({name: text for name, text in kept_notes.items() if text})


def _kept(group: pa.Table, rows: npt.NDArray[np.int64], first: int) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    mask = np.ones(group.num_rows, dtype=bool)
    mask[rows[(rows >= first) & (rows < first + group.num_rows)] - first] = False
    return group if mask.all() else group.filter(pa.array(mask))


def _times(table: pa.Table, time: str | None) -> list[datetime]:
    import pyarrow.compute as pc

    if time is None or time not in table.column_names:
        return []
    found = pc.min_max(table[time]).as_py()
    return [one for one in (found["min"], found["max"]) if isinstance(one, datetime)]


def _time_notes(times: list[datetime], old: Mapping[str, str]) -> dict[str, str]:
    names = [name for name in ("first_time", "last_time") if f"perennial.{name}" in old]
    if not names:
        return {}
    return dict(zip(names, (min(times).isoformat(), max(times).isoformat()) if times else ("", ""), strict=False))


def csv_rows(path: Path, entity: Entity) -> Iterator[tuple[bytes, list[str], bool]]:
    """Yield the rows of a CSV file, the names first: bytes, cells, and whether the row is the entity's."""
    with path.open("rb") as stream:
        consumed: list[bytes] = []
        place = -1
        for number, cells in enumerate(csv.reader(_texts(stream, consumed))):
            if number == 0:
                names = [name.removeprefix("\ufeff") for name in cells]
                place = names.index(entity.column) if entity.column in names else -1
            is_theirs = number > 0 and 0 <= place < len(cells) and whole_text(cells[place].strip()) == entity.key
            yield b"".join(consumed), cells, is_theirs
            consumed.clear()


def _texts(stream: BinaryIO, consumed: list[bytes]) -> Iterator[str]:
    for line in stream:
        consumed.append(line)
        yield line.decode()


def temporary_of(path: Path) -> Path:
    """Return the name under which a file is rewritten; a killed erasure leaves it to the next one."""
    return path.with_name(f".{path.name}.forget.tmp")


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside a file, and give it the file's mode and time; the caller renames it, or it goes.

    Raises
    ------
    StorageError
        The disk failed.
    """
    temporary, status = temporary_of(path), path.stat()
    with storage_errors(path), removed_after_error(temporary):
        yield temporary
        if temporary.exists():
            temporary.chmod(status.st_mode)
            # The time of a batch's file is that of its ingestion, also if that was not recorded.
            os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns))
            temporary.replace(path)
