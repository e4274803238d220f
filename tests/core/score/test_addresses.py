"""What an address names."""

from __future__ import annotations

import pytest

from core.errors import ConfigError
from core.score.addresses import SqlTable, input_kind, is_match, output_kind, sql_table


def test_an_address_that_is_none_is_refused() -> None:
    """With what is expected; nothing that could be SQL gets through."""
    assert sql_table("sql:DB/t") == SqlTable("DB", None, "t")
    assert sql_table("rows.parquet") is None
    for address in ("sql:db/t", "sql:DB/t; DROP TABLE t", "sql:DB", 'sql:DB/"t"', "sql:postgresql://ada@host/db"):
        with pytest.raises(ConfigError, match="expected sql:VARIABLE/table"):
            sql_table(address)


@pytest.mark.parametrize("address", ["scores.xlsx", "scores.parquet.gz", "scores.json"])
def test_outputs_of_other_endings_are_refused(address: str) -> None:
    """A folder may have any name if a slash says that it is one."""
    with pytest.raises(ConfigError, match=r"ends in \.parquet or \.csv"):
        output_kind(address)
    assert output_kind(f"{address}/") == "folder"


@pytest.mark.parametrize("address", ["", " "])
def test_an_empty_input_is_refused(address: str) -> None:
    """By the name of its option."""
    with pytest.raises(ConfigError, match="correct --input"):
        input_kind(address)


@pytest.mark.parametrize(
    ("path", "fits"),
    [("/in/a.csv", True), ("/in/x/y/a.csv", True), ("/in", False), ("/in/a.parquet", False), ("/other/a.csv", False)],
)
def test_a_path_fits_a_pattern_as_a_glob_finds_it(path: str, fits: bool) -> None:
    """Two stars stand for any number of folders, also none."""
    assert is_match(path, "/in/**/*.csv") is fits


def test_kinds_follow_from_the_ending() -> None:
    """Also of compressed and remote inputs."""
    assert [input_kind(one) for one in ("a.tsv", "b.csv.zst", "gs://b/c.csv", "d", "e/*.parquet")] == [
        "csv",
        "csv",
        "csv",
        "parquet",
        "parquet",
    ]
