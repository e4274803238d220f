from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.settings import Settings
from core.errors import ConfigError
from tasks.validation.expectations import Expected
from tasks.validation.library import built, judges_rows, library_results, opened_library, record_failing_rows
from tasks.validation.pushdown import forget_failing_rows, n_failing_rows, pushed_down


def _expected(kind: str, **arguments: object) -> Expected:
    return Expected("suite[3]", kind, dict(arguments), "row")


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (_expected("expect_column_values_to_be_nice", column="a"), r"suite\[3\].*expect_column_values_to_be_nice"),
        (_expected("expect_column_values_to_not_be_null", column="a", mostli=0.9), r"suite\[3\].*mostli"),
        (_expected("expect_column_values_to_not_be_null", column="a", mostly=1.5), r"suite\[3\].*less than or equal"),
        (_expected("expect_column_values_to_be_between", column="a"), r"suite\[3\].*cannot both be None"),
    ],
)
def test_what_the_library_would_drop_or_refuse_is_refused(expected: Expected, message: str) -> None:
    """Great Expectations leaves an unknown type out without a word; its own refusals get their place."""
    with pytest.raises(ConfigError, match=message):
        built(expected, 0)


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("expect_column_values_to_not_be_null", True),
        ("unexpected_rows_expectation", True),
        ("expect_column_mean_to_be_between", False),
    ],
)
def test_types_that_judge_rows_are_known(kind: str, rows: bool) -> None:
    """A query selects rows, a map condition judges them, an aggregate does not."""
    query = {"unexpected_rows_query": "SELECT * FROM {batch}"} if kind.startswith("unexpected") else {"column": "a"}
    bound = {"min_value": 1} if "between" in kind else {}
    assert judges_rows(built(_expected(kind, **query, **bound), 0)) == rows


def test_results_and_failing_rows_are_found_by_position(tmp_path: Path) -> None:
    """Whatever the order in which the library answers."""
    staged = tmp_path / "staged.parquet"
    pq.write_table(pa.table({"a": [1, 2, 3]}), staged)
    suite = [_expected("expect_column_values_to_be_between", column="a", max_value=high) for high in (9, 2, 1)]
    settings = Settings(root=tmp_path, var=tmp_path)
    with (
        opened_library(["a"]) as library,
        pushed_down(library.connection, staged, ["a"], "rows", settings, tmp_path) as pushdown,
    ):
        objects = [built(one, position) for position, one in enumerate(suite)]
        results = library_results(library, pushdown, objects)
        n_failing = []
        for position in (1, 2):
            forget_failing_rows(pushdown)
            record_failing_rows(library, pushdown, position, suite[position], objects[position])
            n_failing.append(n_failing_rows(pushdown))
    assert {position: result.result["unexpected_count"] for position, result in results.items()} == {0: 0, 1: 1, 2: 2}
    assert n_failing == [1, 2]
