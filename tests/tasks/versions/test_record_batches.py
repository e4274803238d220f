from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tasks.versions.record_batches
from core.errors import StorageError
from tasks.versions.record_batches import (
    RECORD_BATCH_ROWS,
    StoredRecordBatch,
    contract_record_batches,
    contract_schema,
    file_groups,
    group_record_batches,
    holds_contract_types,
    plain_texts,
)
from tests.factories import credit_config
from tests.postgres import call_with_driver, postgres_address  # noqa: F401 - a fixture
from tests.tasks.windows import TIMED, TYPES, loaded, timed_table, write_batches

COLUMNS = ("default", "income", "region")


def joined(record_batches: list[StoredRecordBatch]) -> pa.Table:
    """Rows of record batches, after a look that they follow one another without a gap."""
    starts = np.cumsum([0, *(record_batch.batch.num_rows for record_batch in record_batches)])[:-1]
    assert [record_batch.first_row for record_batch in record_batches] == starts.tolist()
    return pa.Table.from_batches([plain_texts(record_batch.batch) for record_batch in record_batches])


@pytest.mark.parametrize("group_rows", [100, 333, 1_000])
def test_a_files_groups_give_its_rows_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_rows: int
) -> None:
    """Read group by group in small record batches, every row comes once, where the record batch says it stands."""
    monkeypatch.setattr(tasks.versions.record_batches, "RECORD_BATCH_ROWS", 70)
    table = timed_table(1_000, 1)
    (path,) = write_batches(tmp_path, [table], row_group_size=group_rows)
    record_batches = [
        record_batch for group in file_groups(path) for record_batch in group_record_batches(group, COLUMNS)
    ]
    assert max(record_batch.batch.num_rows for record_batch in record_batches) == 70
    assert joined(record_batches).equals(table.select([*COLUMNS]))
    last = [*group_record_batches(file_groups(path)[-1], COLUMNS)]
    assert last[0].first_row == len(range(0, 1_000, group_rows)[:-1]) * group_rows


def test_repeated_texts_come_as_dictionaries_and_others_as_they_are(tmp_path: Path) -> None:
    """A dictionary of texts that do not repeat would hold the row group's whole column."""
    notes = pa.array([f"a note that stands once only: {place}" for place in range(2_000)])
    table = timed_table(2_000, 1).append_column("note", notes)
    (path,) = write_batches(tmp_path, [table])
    (record_batch,) = group_record_batches(file_groups(path)[0], ("region", "note", "income"))
    assert [pa.types.is_dictionary(field.type) for field in record_batch.batch.schema] == [True, False, False]


def test_pieces_of_long_rows_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of 10 kB come by the bytes, at least one at a time."""
    table = pa.table({"text": [f"{place:010000d}" for place in range(200)]})
    (path,) = write_batches(tmp_path, [table])
    for n_bytes, expected in ((500_000, 50), (1, 1)):
        monkeypatch.setattr(tasks.versions.record_batches, "RECORD_BATCH_BYTES", n_bytes)
        sizes = [record_batch.batch.num_rows for record_batch in group_record_batches(file_groups(path)[0], ["text"])]
        assert sum(sizes) == 200
        assert expected * 0.8 <= max(sizes) <= expected


def test_memory_does_not_grow_with_a_row_group(tmp_path: Path) -> None:
    """Four million rows in one row group of 150 MB, with a text that never repeats, are read in less than 100 MiB."""
    path = tmp_path / "giant.parquet"
    schema = pa.schema([("x", pa.float64()), ("text", pa.string())])
    generator = np.random.default_rng(1)
    with pq.ParquetWriter(path, schema, compression="none", write_page_index=False) as writer:
        texts = pa.array([f"customer number {place}" for place in range(4_000_000)])
        writer.write_table(pa.table([generator.random(4_000_000), texts], schema=schema), row_group_size=4_000_000)
    del texts
    assert pq.read_metadata(path).num_row_groups == 1
    code = f"""
import resource
from pathlib import Path
import pyarrow.parquet
from tasks.versions.record_batches import file_groups, group_record_batches
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
(group,) = file_groups(Path({str(path)!r}))
rows = sum(record_batch.batch.num_rows for record_batch in group_record_batches(group, ["x", "text"]))
print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    n_rows, mib = map(int, answer.stdout.split())
    assert n_rows == 4_000_000
    assert mib < 100


def test_a_file_of_the_contracts_types_is_told_from_others(tmp_path: Path) -> None:
    """One column of another type, or one that is absent, and the engine must cast."""
    table = timed_table(10, 1)
    other = table.set_column(4, "age", pa.array([1] * 10, pa.int64()))
    zoned = table.set_column(1, "at", table.column("at").cast(pa.timestamp("us", "UTC")))
    paths = write_batches(tmp_path, [table, other, zoned, table.drop_columns(["owner"])])
    assert [holds_contract_types(path, TIMED, TIMED.columns) for path in paths] == [True, False, False, False]
    assert holds_contract_types(paths[1], TIMED, ["income", "owner"])


def test_cast_rows_keep_their_order_and_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine gives the contract's types in the file's order, with the ids training knows the rows by."""
    monkeypatch.setattr(tasks.versions.record_batches, "RECORD_BATCH_ROWS", 2_048)
    table = timed_table(10_000, 1)
    table = table.set_column(2, "default", pa.array(["0", "1"] * 5_000))
    paths = write_batches(tmp_path, [table], row_group_size=1_000)
    for config in (TIMED, credit_config(key=None, time="at", features={"ignored": ["id"]})):
        columns = ("income", "region", "owner")
        with duckdb.connect() as engine:
            record_batches = [*contract_record_batches(engine, paths[0], config, columns, with_row_ids=True)]
        assert len(record_batches) > 1
        assert joined(record_batches).equals(table.select([*columns]))
        ids = np.concatenate(
            [record_batch.row_ids for record_batch in record_batches if record_batch.row_ids is not None]
        )
        assert (ids == loaded(paths, config).row_ids).all()


def test_a_file_that_vanishes_between_footer_and_rows_is_named(tmp_path: Path) -> None:
    """Also what goes wrong after the stream was opened is an error with the file's name."""
    (path,) = write_batches(tmp_path, [timed_table(10, 1)])
    (group,) = file_groups(path)
    path.unlink()
    with pytest.raises(StorageError, match=r"0001-.*cannot be read"):
        next(group_record_batches(group, COLUMNS))


def test_arrow_types_are_those_of_the_stored_contract(tmp_path: Path) -> None:
    """What ingestion writes is what the quick way expects."""
    assert contract_schema(TIMED, TIMED.columns).equals(pa.schema([TYPES.field(name) for name in TIMED.columns]))
    path = tmp_path / "written.parquet"
    with duckdb.connect() as engine:
        engine.register("rows", timed_table(10, 1))
        engine.sql("SELECT * FROM rows").write_parquet(str(path))
    assert holds_contract_types(path, TIMED, TIMED.columns)
    assert RECORD_BATCH_ROWS <= 2**16
