from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.settings import Settings
from core.errors import SourceError
from tasks.source.engine import SPILL
from tasks.validation.pushdown import (
    FAILING,
    NUMBERED,
    PARTS,
    ROWS,
    Pushdown,
    failing_row_numbers,
    failing_rows,
    forget_failing_rows,
    n_failing_rows,
    name_reasons,
    pushed_down,
)


@contextmanager
def _over(folder: Path, *columns: str, parts: dict[str, list[str]] | None = None) -> Iterator[Pushdown]:
    """Open the engine over three rows with these columns."""
    staged = folder / "it's staged.parquet"
    pq.write_table(pa.table({name: ["x", None, "z"] for name in columns}), staged)
    settings = Settings(root=folder, var=folder, memory_limit_mb=300)
    with (
        duckdb.connect() as connection,
        pushed_down(connection, staged, columns, "the rows", settings, folder, parts) as pushdown,
    ):
        yield pushdown


@pytest.mark.parametrize("columns", [("a",), ("a", "file_row_number"), ("File_Row_Number", "__row__"), ("__ROW___",)])
def test_rows_have_numbers_beside_any_columns(tmp_path: Path, columns: tuple[str, ...]) -> None:
    """The number's column has a name of its own, whatever the rows' columns are called."""
    with _over(tmp_path, *columns) as pushdown:
        assert pushdown.row.lower() not in {name.lower() for name in columns}
        assert pushdown.execute(f'SELECT "{pushdown.row}", "{columns[0]}" FROM {NUMBERED}') == [  # noqa: S608 - our own names
            (0, "x"),
            (1, None),
            (2, "z"),
        ]
        assert pushdown.execute(f"SELECT count(*), count(COLUMNS(*)) FROM {ROWS}") == [(3, *(2 for _ in columns))]  # noqa: S608 - our own names


def test_the_engine_reads_the_rows_and_nothing_else(tmp_path: Path) -> None:
    """It has the memory it may have, and no way to a file, to the network or back."""
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with _over(tmp_path, "a") as pushdown:
        assert pushdown.execute("SELECT current_setting('memory_limit')") == [("300.0 MiB",)]
        for attempt in (
            f"SELECT * FROM read_csv('{tmp_path / 'secret.csv'}')",  # noqa: S608 - the attack
            f"COPY {ROWS} TO '{tmp_path / 'copy.csv'}'",
            "SET GLOBAL enable_external_access = true",
            "INSTALL httpfs",
        ):
            with pytest.raises(SourceError, match="the rows cannot be read"):
                pushdown.execute(attempt)
    assert not (tmp_path / "copy.csv").exists()


def test_the_work_folder_is_empty_afterwards(tmp_path: Path) -> None:
    """Parts of wide rows, and what the engine spilled, are removed."""
    (tmp_path / SPILL).mkdir()
    with _over(tmp_path, "a", "b", parts={"part_0": ["b"]}) as pushdown:
        assert pushdown.execute("SELECT * FROM part_0") == [("x",), (None,), ("z",)]
        assert [path.name for path in (tmp_path / PARTS).iterdir()] == ["part_0.parquet"]
    assert [path.name for path in tmp_path.iterdir()] == ["it's staged.parquet"]


def test_failing_rows_have_their_reasons_in_the_order_of_the_suite(tmp_path: Path) -> None:
    """A row that is recorded twice is one row, and a text with quotes stays what it is."""
    with _over(tmp_path, "a") as pushdown:
        forget_failing_rows(pushdown)
        pushdown.execute(f"INSERT INTO {FAILING} VALUES (2, 5), (0, 1), (2, 1)")  # noqa: S608 - our own name
        name_reasons(pushdown, {1: "it's", 5: 'a "b"'})
        assert n_failing_rows(pushdown) == 2
        assert failing_rows(pushdown, 1, 3).to_pydict() == {"row": [2], "reason": ['it\'s; a "b"']}
        assert failing_row_numbers(pushdown, 0, 2).to_pydict() == {"row": [0]}
        forget_failing_rows(pushdown)
        assert n_failing_rows(pushdown) == 0
