"""Rows of an entity in Parquet and CSV, and what is left of a file without them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.erasure.rows import Entity, KeyReader, csv_rows, key_reader, replacement, write_without
from tests.factories import make_project
from tests.tasks.versions.staging import rows_of


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[KeyReader]:
    """Return what finds the rows of the entity 7."""
    with key_reader(Entity("id", "7"), "credit", make_project(tmp_path)) as found:
        yield found


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        (pa.array(["7", "77", None, " 7", "7.0", "07", "-7"]), [0, 3, 4]),
        (pa.array([7, 77, None, 7]), [0, 3]),
        (pa.array([7.0, 7.5, float("nan"), None]), [0]),
        (pa.array([b"7", b"8"]), []),
        (pa.nulls(3), []),
    ],
)
def test_a_key_of_any_type_is_read_as_ingestion_reads_it(
    reader: KeyReader, tmp_path: Path, ids: pa.Array, found: list[int]
) -> None:
    """Numbers as their texts, and a text without its spaces or its fraction of zero."""
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": ids}), path)
    assert reader.rows(path).tolist() == found


def test_a_file_without_the_column_has_none(reader: KeyReader, tmp_path: Path) -> None:
    """A batch may be older than the key."""
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"x": [7]}), path)
    assert reader.rows(path).tolist() == []
    assert reader.values(path, "x") == []


def test_the_rest_of_a_file_is_as_it_was(reader: KeyReader, tmp_path: Path) -> None:
    """Order, types, row groups, notes, mode and time; the notes of times follow, and a repeat gives the same bytes."""
    path = tmp_path / "rows.parquet"
    days = pa.array(range(20), pa.timestamp("us"))
    table = pa.table(
        {"id": ["7", *(str(n) for n in range(8, 20)), *("7" * 7)], "at": days, "x": pa.nulls(20, pa.bool_())}
    )
    moments = {
        name: moment.isoformat() for name, moment in (("first_time", days[0].as_py()), ("last_time", days[19].as_py()))
    }
    notes = {f"perennial.{name}": text for name, text in {**moments, "n_read": "20", "source": "ü"}.items()}
    pq.write_table(table.replace_schema_metadata(notes), path, row_group_size=6, compression="zstd")
    path.chmod(0o444)
    os.utime(path, (1, 2))
    first, second = (tmp_path / name for name in ("first", "second"))
    for target in (first, second):
        write_without(path, target, reader.rows(path), {"n_read": "12"}, "at")
    assert first.read_bytes() == second.read_bytes()
    with replacement(path) as temporary:
        write_without(path, temporary, reader.rows(path), {"n_read": "12"}, "at")
    assert rows_of(path) == [row for row in table.to_pylist() if row["id"] != "7"]
    assert (path.stat().st_mode & 0o777, path.stat().st_mtime) == (0o444, 2)
    with pq.ParquetFile(path) as file:
        assert file.schema_arrow.remove_metadata() == table.schema.remove_metadata()
        groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        assert (groups, file.metadata.row_group(0).column(0).compression) == ([5, 6, 1], "ZSTD")
        kept = {name.decode(): text.decode() for name, text in file.metadata.metadata.items()}
    assert kept["perennial.n_read"] == "12"
    assert kept["perennial.source"] == "ü"
    assert kept["perennial.first_time"] == days[1].as_py().isoformat()
    assert kept["perennial.last_time"] == days[12].as_py().isoformat()


def test_a_csv_keeps_the_bytes_of_its_other_rows(tmp_path: Path) -> None:
    """Line ends, quotes and line breaks within quotes; a file without the column has no row of the entity."""
    path = tmp_path / "rows.csv"
    path.write_bytes(b'\xef\xbb\xbfid,note\r\n7,"a\nb"\r\n"7.0",c\r\n77,"say ""7"", \nplease"\r\n8,7\r\n')
    rows = [*csv_rows(path, Entity("id", "7"))]
    assert [is_theirs for _, _, is_theirs in rows] == [False, True, True, False, False]
    left = b"".join(line for line, _, is_theirs in rows if not is_theirs)
    assert left == b'\xef\xbb\xbfid,note\r\n77,"say ""7"", \nplease"\r\n8,7\r\n'
    assert not any(is_theirs for _, _, is_theirs in csv_rows(path, Entity("key", "7")))


def test_a_failed_rewriting_leaves_the_file(tmp_path: Path) -> None:
    """And nothing beside it."""
    path = tmp_path / "rows.csv"
    path.write_text("id\n7\n")
    with pytest.raises(ZeroDivisionError):
        _fail(path)
    assert [one.name for one in tmp_path.iterdir()] == ["rows.csv"]
    assert path.read_text() == "id\n7\n"


def _fail(path: Path) -> None:
    with replacement(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
