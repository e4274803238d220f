"""Sources that are streamed into files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.schema import OpenmlSource, SimulatedSource, SklearnSource, SqlSource
from config.settings import Settings
from core.errors import ConfigError, SourceTooLargeError
from tasks.source import buffer
from tasks.source.buffer import StreamedSource, buffered, source_name


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings of a bare project folder."""
    return Settings(root=tmp_path, var=tmp_path / "var")


def _query(text: str) -> SqlSource:
    return SqlSource(kind="sql", uri_env="ROWS_DATABASE", query=text)


def _columns(paths: list[Path]) -> list[list[object]]:
    return [next(iter(pq.read_table(path).to_pydict().values())) for path in paths]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (_query("SELECT 'secret'"), "the query against ROWS_DATABASE"),
        (OpenmlSource(kind="openml", data_id=31), "OpenML data set 31"),
        (SklearnSource(kind="sklearn", name="iris"), "scikit-learn's iris"),
        (SimulatedSource(kind="simulated", months=3, seed=4), "3 simulated months (seed 4)"),
    ],
)
def test_a_source_has_a_name_without_secrets(source: StreamedSource, name: str) -> None:
    """The text of a query may hold values, and the address a password."""
    assert source_name(source) == name


def test_a_column_may_change_its_type_between_chunks(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file begins where the type does: a chunk of a query may be all NULL, and SQLite mixes types in a column."""
    monkeypatch.setenv("ROWS_DATABASE", "sqlite://")
    monkeypatch.setattr(buffer, "SQL_CHUNK_ROWS", 2)
    values = ["NULL", "NULL", "1", "2", "3", "4", "5", "'x'"]
    query = _query(" UNION ALL ".join(f"SELECT {value} AS a" for value in values))
    files = buffered(query, settings, settings.var)
    assert {file.shown for file in files} == {"the query against ROWS_DATABASE"}
    assert _columns([file.path for file in files]) == [[None, None], [1, 2, 3, 4], ["5", "x"]]


def test_a_repeat_overwrites_what_was_there(settings: Settings) -> None:
    """The same source gives the same bytes under the same name."""
    source = SimulatedSource(kind="simulated", months=1, rows_per_month=5)
    (first,) = buffered(source, settings, settings.var)
    content = first.path.read_bytes()
    first.path.write_bytes(b"half a file")
    (second,) = buffered(source, settings, settings.var)
    assert (second, second.path.read_bytes()) == (first, content)


@pytest.mark.parametrize(("cap", "is_read"), [(10, True), (9, False)])
def test_the_cap_is_a_number_of_rows_that_is_allowed(settings: Settings, cap: int, is_read: bool) -> None:
    """The row after it is refused, with the setting."""
    source = SimulatedSource(kind="simulated", months=2, rows_per_month=5)
    bounded = settings.model_copy(update={"max_rows": cap})
    if is_read:
        (file,) = buffered(source, bounded, settings.var)
        assert pq.read_metadata(file.path).num_rows == 10
    else:
        with pytest.raises(SourceTooLargeError, match=r"has 10 rows or more, the limit is 9; .*PERENNIAL_MAX_ROWS"):
            buffered(source, bounded, settings.var)


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ([1, None, 2.5], pa.float64(), [1.0, None, 2.5]),
        ([1, "x", None], pa.string(), ["1", "x", None]),
        ([2**70, 1], pa.string(), [str(2**70), "1"]),
        ([[1], None], pa.string(), ["[1]", None]),
        ([None, None], pa.null(), [None, None]),
    ],
)
def test_values_have_one_type_in_a_column(values: list[object], kind: pa.DataType, found: list[object]) -> None:
    """Their common one, or text: nothing is cut or lost."""
    column = buffer._arrow_column(values)
    assert (column.type, column.to_pylist()) == (kind, found)


def test_a_password_with_a_colon_is_not_quoted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address whose port is no number is the user's to correct, and perhaps half a password stands there."""
    monkeypatch.setenv("ROWS_DATABASE", "postgresql://ada@host:secret/db")
    with pytest.raises(ConfigError, match="ROWS_DATABASE holds an address whose port is no number") as caught:
        buffered(_query("SELECT 1"), settings, settings.var)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
