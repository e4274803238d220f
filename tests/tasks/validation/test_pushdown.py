from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import ConfigError, SourceError
from tasks.validation.expectations import QUERY, Expected
from tasks.validation.pushdown import (
    Pushdown,
    built,
    collect_failing_rows,
    failing_row_numbers,
    failing_rows,
    name_reasons,
    pushed_down,
    speaks_of_rows,
    validated,
)
from tests.factories import make_project

Opened = Callable[[dict[str, list[Any]]], AbstractContextManager[Pushdown]]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Return a function that stages columns and opens the engine over them."""
    settings, work = make_project(tmp_path), tmp_path / "work"
    work.mkdir()

    @contextmanager
    def open_(columns: dict[str, list[Any]]) -> Iterator[Pushdown]:
        staged = work / "staged.parquet"
        pq.write_table(pa.table(columns), staged)
        with pushed_down(staged, list(columns), "the rows", settings, work) as pushdown:
            yield pushdown

    return open_


def _between(low: float, high: float, level: str = "row") -> Expected:
    kwargs = {"column": "age", "min_value": low, "max_value": high}
    return Expected("suite[0]", "expect_column_values_to_be_between", kwargs, level)


def _judged(pushdown: Pushdown, *expected: Expected) -> tuple[list[Any], dict[int, tuple[Expected, Any, Any]]]:
    expectations = built(expected)
    results = validated(pushdown, expectations)
    pairs = enumerate(zip(expected, expectations, results, strict=True))
    return results, {place: found for place, found in pairs if not found[2].success}


def test_results_come_in_the_order_of_the_suite(opened: Opened) -> None:
    """Two expectations with equal arguments are two results, each at its own place."""
    with opened({"age": [20, 30, 200]}) as pushdown:
        results, _ = _judged(pushdown, _between(0, 300), _between(0, 100), _between(0, 300))
    assert [result.success for result in results] == [True, False, True]


@pytest.mark.parametrize("part", [1, 2, 100])
def test_a_wide_batch_is_validated_in_parts(part: int, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs one column, several, their places or a condition is decided as on all columns together."""
    monkeypatch.setattr("tasks.validation.wide.PART", part)
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("expect_column_to_exist", {"column": "b", "column_index": 1}),
        ("expect_column_to_exist", {"column": "b", "column_index": 2}),
        ("expect_column_to_exist", {"column": "none"}),
        ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "b", "column_B": "a"}),
        ("expect_compound_columns_to_be_unique", {"column_list": ["a", "c d"]}),
        ("expect_column_values_to_be_between", {"column": "b", "max_value": 3}),
        ("expect_column_values_to_not_be_null", {"column": "c d"}),
        ("expect_column_max_to_be_between", {"column": "a", "max_value": 2}),
        ("expect_table_column_count_to_equal", {"value": 3}),
        ("expect_table_row_count_to_equal", {"value": 3}),
        (
            "expect_column_values_to_be_between",
            {
                "column": "b",
                "max_value": 3,
                "row_condition": {"type": "comparison", "column": {"name": "a"}, "operator": "<", "parameter": 2},
            },
        ),
    ]
    expected = [Expected(f"suite[{place}]", kind, given, "schema") for place, (kind, given) in enumerate(kinds)]
    with opened({"a": [1, 1, 2], "b": [3, 4, 5], "c d": ["x", None, "y"]}) as pushdown:
        results, _ = _judged(pushdown, *expected)
    assert [bool(result.success) for result in results] == [
        *(True, False, False, True, True, False, False, True, True, True, False)
    ]


def test_failing_rows_are_named_with_their_reasons(opened: Opened) -> None:
    """A row that fails twice is one row with both reasons; a missing value fails nothing."""
    with opened({"age": [20, 200, None, -5, 300]}) as pushdown:
        _, failed = _judged(pushdown, _between(0, 250), _between(0, 150))
        assert collect_failing_rows(pushdown, failed) == 3
        name_reasons(pushdown, {0: "outside 0 to 250", 1: "outside 0 to 150"})
        rows = failing_rows(pushdown, 0, 5).to_pydict()
        numbers = failing_row_numbers(pushdown, 2, 5).to_pydict()["row"]
    both = "outside 0 to 250; outside 0 to 150"
    assert rows == {"row": [1, 3, 4], "reason": ["outside 0 to 150", both, both]}
    assert sorted(numbers) == [3, 4]


def test_the_last_copy_that_fails_nothing_else_is_spared(opened: Opened) -> None:
    """Of rows with one key, the newest sound one stays."""
    unique = Expected("suite[0]", "expect_column_values_to_be_unique", {"column": "key"}, "row")
    with opened({"key": ["a", "a", "a", "b"], "age": [1, 2, 999, 4]}) as pushdown:
        _, failed = _judged(pushdown, unique, _between(0, 100))
        assert collect_failing_rows(pushdown, failed) == 2
        assert sorted(failing_row_numbers(pushdown, 0, 4).to_pydict()["row"]) == [0, 2]


def test_a_query_of_the_suite_names_its_rows(opened: Opened) -> None:
    """An expectation written as SQL sets aside the rows that it selects."""
    query = Expected("suite[0]", QUERY, {"unexpected_rows_query": "SELECT * FROM {batch} WHERE age > limit_"}, "row")
    with opened({"age": [1, 5, 9], "limit_": [2, 2, 10]}) as pushdown:
        _, failed = _judged(pushdown, query)
        assert collect_failing_rows(pushdown, failed) == 1
        assert failing_row_numbers(pushdown, 0, 3).to_pydict()["row"] == [1]


def test_an_unknown_type_is_refused() -> None:
    """Great Expectations would leave it out without a word."""
    with pytest.raises(ConfigError, match="expect_column_values_to_be_nice"):
        built([Expected("suite[3]", "expect_column_values_to_be_nice", {"column": "age"}, "row")])


def test_an_expectation_of_the_whole_batch_names_no_rows() -> None:
    """A mean cannot set rows aside, so the level that would is refused."""
    mean = Expected("suite[1]", "expect_column_mean_to_be_between", {"column": "age", "min_value": 1}, "row")
    with pytest.raises(ConfigError, match=r"suite\[1\].*judges the batch as a whole"):
        built([mean])
    [expectation] = built([Expected("suite[1]", mean.kind, mean.kwargs, "warning")])
    assert not speaks_of_rows(expectation)


def test_a_file_that_is_no_parquet_is_an_error_of_the_source(tmp_path: Path) -> None:
    """DuckDB's complaint becomes ours, and nothing is left in the work folder."""
    settings, work = make_project(tmp_path), tmp_path / "work"
    work.mkdir()
    staged = work / "staged.parquet"
    staged.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(SourceError, match="the rows"), pushed_down(staged, ["age"], "the rows", settings, work):
        pass
    assert [path.name for path in work.iterdir()] == ["staged.parquet"]


def test_words_of_the_grammar_are_names_too(opened: Opened) -> None:
    """Columns with the names of keywords are judged, also of those that only DuckDB has, such as ``at``."""
    words = ["anti", "asof", "at", "by", "collation", "glob", "order", "positional", "select", "semi", "unpack"]
    rules = [Expected("suite[0]", "expect_column_values_to_not_be_null", {"column": word}, "row") for word in words]
    with opened({word: [1, None] for word in words}) as pushdown:
        results, failed = _judged(pushdown, *rules)
        assert len(failed) == len(words)
        assert {result.result["unexpected_count"] for result in results} == {1}
        assert collect_failing_rows(pushdown, failed) == 1
