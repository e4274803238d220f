"""What is computed without Great Expectations, held against its results on the same rows."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config.load import load_model_config
from config.settings import Settings
from core.data.columns import column_types
from core.data.sql import quoted
from tasks.init.model_file import init_model
from tasks.validation.computed import KINDS, Computed, Mean, NoRows, OfRows, Unique, computed
from tasks.validation.evaluation import computed_results, staged_types
from tasks.validation.expectations import QUERY, Expected, read_suite
from tasks.validation.library import built, library_results, opened_library, record_failing_rows
from tasks.validation.pushdown import FAILING, forget_failing_rows, pushed_down
from tasks.validation.wording import observed
from tests.factories import credit_rows, make_project

ROOT = Path(__file__).resolve().parents[3]

Suite = list[tuple[str, dict[str, Any]]]
Rows = dict[str, tuple[pa.DataType, list[Any]]]

NAMES = ("n", "it's", "select", "at", "Größe 😀", "a b", "value", "row", "semi;--", "100%s :y {batch}", "count(*)")
TEXTS = (
    "",
    "a",
    "A",
    "b",
    "it's",
    'say "hi"',
    "😀",
    "é",
    "e\u0301",
    "ß",
    "ss",
    " ",
    "%",
    "\\",
    "NULL",
    "nan",
    "\n",
    "10",
)
NUMBERS = (0.0, -0.0, 1.0, -1.5, 0.1 + 0.2, 0.3, 1e300, 5e-324, 2.0**53 + 2, math.nan, math.inf, -math.inf)
QUERIES = (
    "SELECT * FROM {batch} WHERE {n} > 0.3",
    "SELECT {n}::INTEGER FROM {batch} WHERE {n} BETWEEN 0 AND 9 ORDER BY 1 DESC LIMIT 2 ;\n",
    "FROM {batch} WHERE {n} IS NULL",
    "SELECT count(*) AS a FROM {batch} HAVING a > 3",
)
MOMENTS = (datetime(1, 1, 1), datetime(1970, 1, 1), datetime(2024, 2, 29, 23, 59, 59, 999999), datetime(9999, 12, 31))


def _values(values: st.SearchStrategy[Any], n_rows: int) -> st.SearchStrategy[list[Any]]:
    few = st.lists(st.none() | values, min_size=n_rows, max_size=n_rows)
    return few | st.just([None] * n_rows)


@st.composite
def _rows(draw: st.DrawFn) -> Rows:
    n_rows = draw(st.sampled_from([0, 1, 2, 7, 30, 60]))
    names = iter(draw(st.permutations(NAMES)))
    kinds = {
        pa.string(): st.sampled_from(TEXTS) | st.text(st.characters(exclude_characters="\0"), max_size=3),
        pa.float64(): st.sampled_from(NUMBERS) | st.floats(-10, 10),
        pa.bool_(): st.booleans(),
        pa.timestamp("us"): st.sampled_from(MOMENTS) | st.datetimes(),
    }
    return {next(names): (kind, draw(_values(values, n_rows))) for kind, values in kinds.items()}


@st.composite
def _suites(draw: st.DrawFn) -> tuple[Rows, Suite]:
    rows = draw(_rows())
    text, number, truth, moment = rows
    n_rows = len(rows[text][1])
    shares = st.sampled_from([0, 0.0, 0.5, 1, 1.0]) | st.integers(0, n_rows or 1).map(lambda part: part / (n_rows or 1))
    mostly = st.fixed_dictionaries({}, optional={"mostly": shares | shares.map(lambda one: math.nextafter(one, 0.5))})
    bounds = st.sampled_from([one for one in (*NUMBERS, *rows[number][1]) if one is not None and math.isfinite(one)])
    seen = [one.isoformat(" ", "seconds") for one in (*MOMENTS, *rows[moment][1]) if one is not None]
    some = st.sampled_from(list(rows))
    texts = st.lists(st.sampled_from(TEXTS), min_size=1, max_size=12)
    kinds = {
        "expect_table_row_count_to_be_between": _range(st.integers(0, 70)),
        "expect_table_columns_to_match_set": st.fixed_dictionaries(
            {"column_set": st.lists(st.sampled_from([*rows, "gone"]))}, optional={"exact_match": st.booleans()}
        ),
        "expect_column_proportion_of_non_null_values_to_be_between": _merged(_on(some), _range(shares)),
        "expect_column_mean_to_be_between": _merged(_on(st.just(number)), _range(bounds)),
        QUERY: st.sampled_from(QUERIES).map(
            lambda query: {"unexpected_rows_query": query.format(n=quoted(number), batch="{batch}")}
        ),
        "expect_column_values_to_not_be_null": _merged(_on(some), mostly),
        "expect_column_values_to_be_unique": _merged(_on(st.just(text)), mostly),
        "expect_column_values_to_be_in_set": _merged(
            _on(st.just(text)), mostly, st.fixed_dictionaries({"value_set": texts})
        ),
        "expect_column_values_to_be_between": st.one_of(
            _merged(_on(st.just(number)), mostly, _range(bounds | st.integers(-5, 5))),
            _merged(_on(st.just(moment)), mostly, _range(st.sampled_from(seen))),
        ),
    }
    assert truth in rows
    return rows, [(kind, draw(arguments)) for kind, arguments in kinds.items() for _ in range(2)]


def _on(columns: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"column": columns})


def _range(bounds: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    both = st.tuples(bounds, bounds).map(sorted).map(lambda pair: {"min_value": pair[0], "max_value": pair[1]})
    one = bounds.map(lambda low: {"min_value": low}) | bounds.map(lambda high: {"max_value": high, "min_value": None})
    return _merged(
        both | one, st.fixed_dictionaries({}, optional={"strict_min": st.booleans(), "strict_max": st.booleans()})
    )


def _merged(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda found: {key: value for part in found for key, value in part.items()})


def _comparable(value: Any) -> Any:
    """Make NaN equal to NaN, and 0 different from 0.0 and from False."""
    if isinstance(value, dict):
        return {key: _comparable(one) for key, one in value.items()}
    return list(map(_comparable, value)) if isinstance(value, list) else (type(value), str(value))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the rows."""
    return tmp_path_factory.mktemp("rows")


EDGES: tuple[Rows, Suite] = (
    {
        "n": (pa.string(), ["b", "a", None] * 10),
        "k": (pa.string(), [None, None, *map(str, range(28))]),
        "x": (pa.float64(), [1.0, 2.0, math.nan] * 10),
        "d": (pa.timestamp("us"), [datetime(2024, 1, 1), None, datetime(2024, 1, 2)] * 10),
    },
    [
        ("expect_column_values_to_be_in_set", {"column": "n", "value_set": ["a"], "mostly": 0.5}),
        ("expect_column_values_to_be_unique", {"column": "n"}),
        ("expect_column_values_to_be_unique", {"column": "k"}),
        ("expect_column_values_to_be_between", {"column": "x", "max_value": 1}),
        ("expect_column_values_to_be_between", {"column": "x", "min_value": 1, "strict_min": True}),
        ("expect_column_values_to_be_between", {"column": "x", "max_value": 2, "strict_max": True, "mostly": 1 / 3}),
        ("expect_column_values_to_be_between", {"column": "d", "min_value": "2024-01-02 00:00:00", "mostly": 0.5}),
        ("expect_column_values_to_be_between", {"column": "d", "min_value": "2024-01-01 00:00:00", "strict_min": True}),
        ("expect_column_values_to_not_be_null", {"column": "n", "mostly": 2 / 3}),
        ("expect_table_row_count_to_be_between", {"max_value": 30, "strict_max": True}),
        (QUERY, {"unexpected_rows_query": "SELECT * FROM {batch} WHERE x = 1 ;\n"}),
    ],
)


@example(EDGES)
@settings(max_examples=6)
@given(_suites())
def test_each_result_is_the_librarys(folder: Path, asked: tuple[Rows, Suite]) -> None:
    """Results and failing rows are equal, for every type that init infers, over all kinds of columns and values."""
    rows, suite = asked
    staged = folder / "staged.parquet"
    pq.write_table(pa.table({name: pa.array(values, kind) for name, (kind, values) in rows.items()}), staged)
    types = staged_types(staged, "rows")
    expected = [Expected(f"suite[{place}]", kind, given, "schema") for place, (kind, given) in enumerate(suite)]
    own = {place: rule for place, one in enumerate(expected) if (rule := computed(one, types))}
    # A name in a query may be what SQLAlchemy takes for a parameter.
    assert {place for place, one in enumerate(expected) if one.kind != QUERY} <= own.keys()
    with (
        opened_library(list(types)) as library,
        pushed_down(
            library.connection, staged, list(types), "rows", Settings(root=folder, var=folder), folder
        ) as pushdown,
    ):
        objects = [built(one, place) for place, one in enumerate(expected)]
        theirs, ours = library_results(library, pushdown, objects), computed_results(pushdown, own)
        for place, rule in own.items():
            assert_equal(rule, ours[place], theirs[place], rows)
            if isinstance(rule, OfRows) and ours[place].result["unexpected_count"]:
                forget_failing_rows(pushdown)
                record_failing_rows(library, pushdown, place, expected[place], objects[place])
                recorded = pushdown.execute(f"SELECT row FROM {FAILING} ORDER BY row")  # noqa: S608 - our own name
                forget_failing_rows(pushdown)
                assert sorted(pushdown.execute(rule.failing_rows(pushdown.row))) == recorded


def assert_equal(rule: Computed, ours: Any, theirs: Any, rows: Rows) -> None:
    """Assert that both results have the same content and text; the order of repeated values is the engine's."""
    assert (ours.success, ours.exception_info) == (theirs.success, theirs.exception_info)
    result, library = dict(ours.result), dict(theirs.result)
    if isinstance(rule, Unique):
        n_rows = Counter(value for value in rows[rule.column][1] if value is not None)
        examples = result.pop("partial_unexpected_list")
        assert len(examples) == len(library.pop("partial_unexpected_list"))
        assert all(n_rows[value] > 1 for value in examples)
    else:
        counts_rows = isinstance(rule, OfRows | NoRows)
        assert observed(ours, counts_rows, 60) == observed(theirs, counts_rows, 60)
    assert _comparable(result) == _comparable(library), (rule, ours, theirs)


TYPES = {"n": "DOUBLE", "t": "VARCHAR", "d": "TIMESTAMP", "b": "BOOLEAN", "i": "int64"}
BETWEEN, IN_SET = "expect_column_values_to_be_between", "expect_column_values_to_be_in_set"
COUNT, SHARE = "expect_table_row_count_to_be_between", "expect_column_proportion_of_non_null_values_to_be_between"
NOT_NULL, COLUMNS = "expect_column_values_to_not_be_null", "expect_table_columns_to_match_set"
LEFT: list[tuple[str, dict[str, Any]]] = [
    ("expect_column_stdev_to_be_between", {"column": "n", "min_value": 1}),
    ("expect_column_mean_to_be_between", {"column": "b", "min_value": 1}),
    (QUERY, {"unexpected_rows_query": "SELECT * FROM {batch}; SELECT 1"}),
    (QUERY, {"unexpected_rows_query": "SELECT * FROM {batch} WHERE n = :y"}),
    (QUERY, {"unexpected_rows_query": "SELECT * FROM {batch} WHERE t = '\\:y'"}),
    (QUERY, {"unexpected_rows_query": "SELECT * FROM {batch} JOIN {other}"}),
    (QUERY, {"unexpected_rows_query": "SELECT * FROM {batch!r}"}),
    (QUERY, {"unexpected_rows_query": "SELECT * FROM {batch} WHERE t = '{'"}),
    (QUERY, {"unexpected_rows_query": "SELECT * FROM {batch}", "row_condition": "n > 1"}),
    (BETWEEN, {"column": "n", "minimum": 1}),
    (BETWEEN, {"column": "n"}),
    (BETWEEN, {"column": "n", "min_value": None}),
    (BETWEEN, {"column": "n", "min_value": 1, "strict_min": 1}),
    (BETWEEN, {"column": "n", "min_value": 1, "row_condition": "n > 1", "condition_parser": "great_expectations"}),
    (BETWEEN, {"column": "n", "min_value": "1"}),
    (BETWEEN, {"column": "n", "min_value": True}),
    (BETWEEN, {"column": "n", "min_value": math.nan}),
    (BETWEEN, {"column": "n", "max_value": math.inf}),
    (BETWEEN, {"column": "n", "min_value": 2, "max_value": 1}),
    (BETWEEN, {"column": "n", "min_value": {"$PARAMETER": "low"}}),
    (BETWEEN, {"column": "n", "min_value": "2024-01-01 00:00:00"}),
    (BETWEEN, {"column": "d", "min_value": "2024-01-01"}),
    (BETWEEN, {"column": "d", "min_value": "2024-02-30 00:00:00"}),
    (BETWEEN, {"column": "d", "min_value": "2024-01-01 00:00:00\n"}),
    (BETWEEN, {"column": "d", "min_value": "٢٠٢٤-01-01 00:00:00"}),
    (BETWEEN, {"column": "d", "min_value": 1}),
    (BETWEEN, {"column": "i", "min_value": 1}),
    (BETWEEN, {"column": "none", "min_value": 1}),
    (BETWEEN, {"column": 7, "min_value": 1}),
    (IN_SET, {"column": "t", "value_set": []}),
    (IN_SET, {"column": "t", "value_set": None}),
    (IN_SET, {"column": "t", "value_set": "ab"}),
    (IN_SET, {"column": "t", "value_set": ["a", None]}),
    (IN_SET, {"column": "t", "value_set": ["a", 1]}),
    (IN_SET, {"column": "t", "value_set": ["a\0b"]}),
    (IN_SET, {"column": "t", "value_set": ["\ud800"]}),
    (IN_SET, {"column": "n", "value_set": ["1"]}),
    (IN_SET, {"column": "b", "value_set": ["yes"]}),
    (NOT_NULL, {"column": "n", "mostly": 1.1}),
    (NOT_NULL, {"column": "n", "mostly": "0.9"}),
    (NOT_NULL, {"column": "n", "mostly": True}),
    (NOT_NULL, {"column": "n", "mostly": None}),
    (NOT_NULL, {"column": "n", "result_format": "COMPLETE"}),
    (NOT_NULL, {"column": ""}),
    (NOT_NULL, {}),
    ("expect_column_values_to_be_unique", {"column": "n"}),
    (COUNT, {}),
    (COUNT, {"min_value": 1.5}),
    (COUNT, {"min_value": True}),
    (COUNT, {"min_value": 5, "max_value": 4}),
    (SHARE, {"column": "n", "min_value": "0.5"}),
    (COLUMNS, {"column_set": ["n", "N"]}),
    (COLUMNS, {"column_set": ['"n"']}),
    (COLUMNS, {"column_set": None}),
    (COLUMNS, {"column_set": ["n"], "exact_match": "yes"}),
]


@pytest.mark.parametrize(("kind", "arguments"), LEFT)
def test_anything_else_is_left_to_the_library(kind: str, arguments: dict[str, Any]) -> None:
    """Other arguments, values and columns, and what is wrong, are not guessed: the library judges and words them."""
    assert computed(Expected("suite[0]", kind, arguments, "schema"), TYPES) is None


def test_an_unknown_severity_is_left_to_the_library() -> None:
    """The library refuses it, also where everything else could be computed."""
    known = Expected("suite[0]", NOT_NULL, {"column": "n"}, "schema", severity="info")
    assert computed(known, TYPES)
    assert not computed(replace(known, severity="fatal"), TYPES)


def test_a_suite_that_init_infers_needs_no_library(tmp_path: Path) -> None:
    """Every type of column and role has expectations, and all of them are computed."""
    project = make_project(tmp_path)
    rows = credit_rows(400)
    rows["seen"] = [f"2024-{1 + row % 12:02}-{1 + row % 28:02}" for row in range(len(rows))]
    rows["born"] = rows["seen"].str.replace("2024", "1980")
    rows.to_csv(project.root / "loans.csv", index=False)
    init_model(str(project.root / "loans.csv"), "default", project, time="seen", key="id")
    config = load_model_config(project.root, "loans")
    suite = read_suite(config, project)
    rules = [computed(one, column_types(config)) for one in suite]
    assert None not in rules
    assert {type(rule) for rule in rules} == {rule for rules in KINDS.values() for rule in rules} - {Mean, NoRows}


def test_the_suite_of_the_demo_needs_no_library() -> None:
    """What a person wrote there is computed too."""
    config, project = load_model_config(ROOT, "credit"), Settings(root=ROOT, var=ROOT / "var")
    assert None not in [computed(one, column_types(config)) for one in read_suite(config, project)]
