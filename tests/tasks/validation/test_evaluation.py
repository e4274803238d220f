from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import ConfigError, SourceError
from tasks.validation.computed import Computed
from tasks.validation.evaluation import AT_ONCE, Evaluation, evaluation, staged_types
from tasks.validation.expectations import QUERY, Expected
from tasks.validation.pushdown import failing_row_numbers, failing_rows, name_reasons
from tasks.validation.wording import raised
from tests.factories import make_project

Opened = Callable[..., AbstractContextManager[Evaluation]]
WAYS = (float, int)
"""Numbers are computed, integers are left to Great Expectations: no contract has such a column."""


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Return a function that stages columns and opens the engine over them for a suite."""
    settings, work = make_project(tmp_path), tmp_path / "work"
    work.mkdir()

    @contextmanager
    def open_(columns: dict[str, list[Any]], *expected: Expected) -> Iterator[Evaluation]:
        staged = work / "staged.parquet"
        pq.write_table(pa.table(columns), staged)
        with evaluation(staged, expected, "the rows", settings, work) as evaluated:
            yield evaluated

    return open_


def _between(low: float, high: float, level: str = "row") -> Expected:
    kwargs = {"column": "age", "min_value": low, "max_value": high}
    return Expected("suite[0]", "expect_column_values_to_be_between", kwargs, level)


def _failed(evaluated: Evaluation) -> dict[int, Any]:
    return {position: result for position, result in enumerate(evaluated.results) if not result.success}


@pytest.mark.parametrize("way", WAYS)
def test_results_come_in_the_order_of_the_suite(opened: Opened, way: type) -> None:
    """Two expectations with equal arguments are two results, each at its own place."""
    suite = (_between(0, 300), _between(0, 100), _between(0, 300))
    with opened({"age": [way(20), way(30), way(200)]}, *suite) as evaluated:
        results = evaluated.results
    assert [result.success for result in results] == [True, False, True]
    assert all(isinstance(rule, Computed) for rule in evaluated.rules) == (way is float)


def test_a_suite_may_need_both_ways(opened: Opened) -> None:
    """What is computed and what Great Expectations evaluates have one order, and rows fail either."""
    spread = Expected("suite[1]", "expect_column_stdev_to_be_between", {"column": "age", "max_value": 1}, "warning")
    query = Expected("suite[2]", QUERY, {"unexpected_rows_query": "SELECT * FROM {batch} WHERE age > 150"}, "row")
    with opened({"age": [-20.0, 30.0, 200.0]}, _between(0, 300), spread, query, _between(-30, 100)) as evaluated:
        assert [isinstance(rule, Computed) for rule in evaluated.rules] == [True, False, True, True]
        failed = _failed(evaluated)
        assert list(failed) == [0, 1, 2, 3]
        assert evaluated.collect_failing_rows({place: failed[place] for place in (0, 2, 3)}) == 2
        name_reasons(evaluated.pushdown, {0: "low", 2: "query", 3: "high"})
        assert failing_rows(evaluated.pushdown, 0, 3).to_pydict() == {"row": [0, 2], "reason": ["low", "query; high"]}


def test_the_library_words_what_is_wrong_with_a_query(opened: Opened) -> None:
    """A query that the engine refuses, at once or at some row, is the library's; the rest stays computed."""
    texts = ("SELECT * FROM {batch} WERE age > 1", "SELECT * FROM {batch} WHERE ('x' || age)::INTEGER > 1")
    suite = [Expected("suite[0]", QUERY, {"unexpected_rows_query": text}, "schema") for text in texts]
    with opened({"age": [1.5]}, _between(0, 1), *suite) as evaluated:
        assert [isinstance(rule, Computed) for rule in evaluated.rules] == [True, False, False]
        assert [result.success for result in evaluated.results] == [False, False, False]
        assert "ParserException" in raised(evaluated.results[1])
        assert "Conversion" in raised(evaluated.results[2])


def test_many_aggregates_are_computed_in_several_queries(opened: Opened) -> None:
    """Beyond the bound of one query each result still belongs to its expectation."""
    columns = {f"c{place}": [float(place), None] for place in range(AT_ONCE)}
    kind = "expect_column_values_to_be_between"
    suite = [Expected("", kind, {"column": name, "max_value": 50}, "row") for name in columns]
    with opened(columns, *suite) as evaluated:
        results = evaluated.results
    assert [result.success for result in results] == [place <= 50 for place in range(AT_ONCE)]
    assert [result.result["partial_unexpected_list"] for result in results[50:53]] == [[], [51.0], [52.0]]


def test_types_are_those_of_the_engine(tmp_path: Path) -> None:
    """The four types of a contract have DuckDB's names; any other type is not taken for one of them."""
    kinds = {"t": pa.string(), "n": pa.float64(), "b": pa.bool_(), "d": pa.timestamp("us")}
    others = {"i": pa.int64(), "z": pa.timestamp("us", "UTC"), "s": pa.timestamp("s"), "h": pa.float32()}
    pq.write_table(pa.table({name: pa.array([], kind) for name, kind in (kinds | others).items()}), tmp_path / "rows")
    types = staged_types(tmp_path / "rows", "rows")
    assert [types[name] for name in kinds] == ["VARCHAR", "DOUBLE", "BOOLEAN", "TIMESTAMP"]
    assert not {types[name] for name in others} & {"VARCHAR", "DOUBLE", "BOOLEAN", "TIMESTAMP"}


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
    with opened({"a": [1, 1, 2], "b": [3, 4, 5], "c d": ["x", None, "y"]}, *expected) as evaluated:
        results = evaluated.results
    assert [bool(result.success) for result in results] == [
        *(True, False, False, True, True, False, False, True, True, True, False)
    ]


@pytest.mark.parametrize("way", WAYS)
def test_failing_rows_are_named_with_their_reasons(opened: Opened, way: type) -> None:
    """A row that fails twice is one row with both reasons; a missing value fails nothing."""
    ages = [way(20), way(200), None, way(-5), way(300)]
    with opened({"age": ages}, _between(0, 250), _between(0, 150)) as evaluated:
        assert evaluated.collect_failing_rows(_failed(evaluated)) == 3
        name_reasons(evaluated.pushdown, {0: "outside 0 to 250", 1: "outside 0 to 150"})
        rows = failing_rows(evaluated.pushdown, 0, 5).to_pydict()
        numbers = failing_row_numbers(evaluated.pushdown, 2, 5).to_pydict()["row"]
    both = "outside 0 to 250; outside 0 to 150"
    assert rows == {"row": [1, 3, 4], "reason": ["outside 0 to 150", both, both]}
    assert sorted(numbers) == [3, 4]


@pytest.mark.parametrize("keys", [["a", "a", "a", "b", None, None], [1, 1, 1, 2, None, None]])
def test_the_last_copy_that_fails_nothing_else_is_spared(opened: Opened, keys: list[Any]) -> None:
    """Of rows with one key, the newest sound one stays; rows without a key are no copies."""
    # Great Expectations cannot evaluate the uniqueness of a column whose name has a double quote.
    name = 'the "key"' if isinstance(keys[0], str) else "key"
    unique = Expected("suite[0]", "expect_column_values_to_be_unique", {"column": name}, "row")
    ages = [1.0, 2.0, 999.0, 4.0, 5.0, 6.0]
    with opened({name: keys, "age": ages}, unique, _between(0, 100)) as evaluated:
        assert evaluated.collect_failing_rows(_failed(evaluated)) == 2
        assert sorted(failing_row_numbers(evaluated.pushdown, 0, 6).to_pydict()["row"]) == [0, 2]


def test_a_query_of_the_suite_names_its_rows(opened: Opened) -> None:
    """An expectation written as SQL sets aside the rows that it selects."""
    query = Expected("suite[0]", QUERY, {"unexpected_rows_query": "SELECT * FROM {batch} WHERE age > limit_"}, "row")
    with opened({"age": [1, 5, 9], "limit_": [2, 2, 10]}, query) as evaluated:
        assert evaluated.collect_failing_rows(_failed(evaluated)) == 1
        assert failing_row_numbers(evaluated.pushdown, 0, 3).to_pydict()["row"] == [1]


def test_an_unknown_type_is_refused(opened: Opened) -> None:
    """Great Expectations would leave it out without a word."""
    nice = Expected("suite[3]", "expect_column_values_to_be_nice", {"column": "age"}, "row")
    with pytest.raises(ConfigError, match="expect_column_values_to_be_nice"), opened({"age": [1.0]}, nice):
        pass


@pytest.mark.parametrize("kind", ["mean_to_be_between", "proportion_of_non_null_values_to_be_between"])
def test_an_expectation_of_the_whole_batch_names_no_rows(opened: Opened, kind: str) -> None:
    """A mean or a share cannot set rows aside, so the level that would is refused."""
    whole = Expected("suite[1]", f"expect_column_{kind}", {"column": "age", "min_value": 1}, "row")
    refused = pytest.raises(ConfigError, match=r"suite\[1\].*judges the batch as a whole")
    with refused, opened({"age": [1.0]}, whole):
        pass
    with opened({"age": [1.0]}, replace(whole, level="warning")) as evaluated:
        assert not evaluated.judges_rows(0)


def test_a_file_that_is_no_parquet_is_an_error_of_the_source(tmp_path: Path) -> None:
    """DuckDB's complaint becomes ours, and nothing is left in the work folder."""
    settings, work = make_project(tmp_path), tmp_path / "work"
    work.mkdir()
    staged = work / "staged.parquet"
    staged.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(SourceError, match="the rows"), evaluation(staged, [], "the rows", settings, work):
        pass
    assert [path.name for path in work.iterdir()] == ["staged.parquet"]


@pytest.mark.parametrize("way", WAYS)
def test_words_of_the_grammar_are_names_too(opened: Opened, way: type) -> None:
    """Columns with the names of keywords are judged, also of those that only DuckDB has, such as ``at``."""
    words = ["anti", "asof", "at", "by", "collation", "glob", "order", "positional", "select", "semi", "unpack"]
    kind = "expect_column_values_to_be_between"
    rules = [Expected("suite[0]", kind, {"column": word, "min_value": 3}, "row") for word in words]
    with opened({word: [way(1), None] for word in words}, *rules) as evaluated:
        failed = _failed(evaluated)
        assert len(failed) == len(words)
        assert {result.result["unexpected_count"] for result in failed.values()} == {1}
        assert evaluated.collect_failing_rows(failed) == 1
