from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.seen_rows import SeenRows, seen_rows
from core.errors import BundleError
from tasks.train.training_rows import read_training_rows, training_rows_file

SCHEMA = pa.schema([pa.field("hash", pa.int64(), nullable=False)], metadata={"by_content": "true"})


def some_seen_rows(n_rows: int, *, by_content: bool = True) -> SeenRows:
    """Hashes of rows of a known number."""
    ids, contents = np.random.default_rng(n_rows).integers(0, 2**64, (2, n_rows), dtype=np.uint64)
    return seen_rows(ids, contents if by_content else None)


@pytest.mark.parametrize("by_content", [True, False])
@pytest.mark.parametrize("n_rows", [0, 1, 30_000])
def test_hashes_come_back(tmp_path: Path, n_rows: int, by_content: bool) -> None:
    """What was written is read, and the same hashes make the same bytes."""
    seen = some_seen_rows(n_rows, by_content=by_content)
    content = training_rows_file(seen)
    path = tmp_path / "training_rows.parquet"
    path.write_bytes(content)
    read = read_training_rows(path)
    assert np.array_equal(read.hashes, seen.hashes)
    assert read.hashes.dtype == seen.hashes.dtype
    assert read.by_content is by_content
    assert training_rows_file(read) == content


@pytest.mark.parametrize(("by_content", "size"), [(True, 7.0), (False, 3.7)])
def test_file_is_small(by_content: bool, size: float) -> None:
    """Thirty thousand training rows take as many bytes each as the docstring says."""
    assert len(training_rows_file(some_seen_rows(30_000, by_content=by_content))) / 30_000 < size


def write(path: Path, values: list[int], schema: pa.Schema = SCHEMA, **options: Any) -> None:
    """Write numbers as such a file, right or wrong."""
    pq.write_table(pa.table([pa.array(values, schema.field(0).type)], schema=schema), path, **options)


@pytest.mark.parametrize("values", [[3, 2], [2, 2], [-1, 4], [1, 2**40]])
def test_other_numbers_are_refused(tmp_path: Path, values: list[int]) -> None:
    """Numbers out of order or out of bounds would make the look-up lie."""
    write(tmp_path / "rows.parquet", values)
    with pytest.raises(BundleError, match="not ascending, distinct or within 40 bits"):
        read_training_rows(tmp_path / "rows.parquet")


@pytest.mark.parametrize(
    "schema",
    [
        pa.schema([pa.field("other", pa.int64(), nullable=False)]),
        pa.schema([pa.field("hash", pa.int64())]),
        pa.schema([pa.field("hash", pa.string(), nullable=False)]),
    ],
)
def test_other_columns_are_refused(tmp_path: Path, schema: pa.Schema) -> None:
    """Another name, another type or gaps: the message says which columns there are."""
    write(tmp_path / "rows.parquet", [], schema)
    with pytest.raises(BundleError, match=r"rows.parquet, found the columns (other|hash)"):
        read_training_rows(tmp_path / "rows.parquet")


@pytest.mark.parametrize("metadata", [None, {"by_content": "perhaps"}])
def test_missing_flag_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    """Whether contents are among the hashes is never guessed."""
    write(tmp_path / "rows.parquet", [1], SCHEMA.with_metadata(metadata))
    with pytest.raises(BundleError, match="'by_content'"):
        read_training_rows(tmp_path / "rows.parquet")


def test_file_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    """A few kilobytes that announce a million rows are refused by the footer, before a value is read."""
    path = tmp_path / "rows.parquet"
    write(path, [7] * 1_000_000, compression="zstd")
    assert path.stat().st_size < 10_000
    with pytest.raises(BundleError, match="announces 1,000,000 rows in"):
        read_training_rows(path)


@pytest.mark.parametrize("cut", [0, 10, 5_000])
def test_broken_file_is_refused(tmp_path: Path, cut: int) -> None:
    """A file that ends early is named, with what to do."""
    path = tmp_path / "rows.parquet"
    path.write_bytes(training_rows_file(some_seen_rows(1_000))[:cut])
    with pytest.raises(BundleError, match=r"rows.parquet, found .*; register the version again"):
        read_training_rows(path)


def test_damaged_name_is_refused(tmp_path: Path) -> None:
    """A column name that is no text at all does not crash the reader, which wants to show it."""
    path = tmp_path / "rows.parquet"
    path.write_bytes(training_rows_file(some_seen_rows(10)).replace(b"hash", b"has\xff"))
    with pytest.raises(BundleError, match="UnicodeDecodeError"):
        read_training_rows(path)


def test_damaged_files_never_crash(tmp_path: Path) -> None:
    """Of 300 damaged files each is read or refused with a typed error."""
    path, content = tmp_path / "rows.parquet", training_rows_file(some_seen_rows(200))
    generator, refused = np.random.default_rng(0), 0
    for place in generator.integers(0, len(content), 300):
        damaged = bytearray(content)
        damaged[place] ^= int(generator.integers(1, 256))
        path.write_bytes(damaged)
        try:
            read_training_rows(path)
        except BundleError:
            refused += 1
    assert refused > 50


def test_absent_file_is_refused(tmp_path: Path) -> None:
    """A bundle from before the gate has none; the error is typed."""
    with pytest.raises(BundleError, match=r"absent\.parquet"):
        read_training_rows(tmp_path / "absent.parquet")
