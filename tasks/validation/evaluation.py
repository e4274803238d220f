"""Evaluate a suite over a staged file: what can be computed is computed, and Great Expectations does the rest.

The library is imported only if an expectation needs it: its import takes longer than an ingestion of 20,000 rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.settings import Settings
from core.data.sql import quoted
from core.errors import ConfigError, PerennialError, SourceError
from core.text import readable
from tasks.source.engine import reading
from tasks.validation.computed import MAX_EXAMPLES, Computed, Found, NoRows, NotNull, OfRows, computed
from tasks.validation.expectations import QUERY, Expected
from tasks.validation.pushdown import (
    FAILING,
    NUMBERED,
    Pushdown,
    forget_failing_rows,
    n_failing_rows,
    pushed_down,
)

if TYPE_CHECKING:
    import duckdb

    from tasks.validation.library import Library

AT_ONCE = 200
"""Maximum number of aggregates in a query: planning one takes the square of their number, reading a file's names more
than a few of them."""
_EXAMPLES_AT_ONCE = 50
"""The same for failing values, which the engine keeps."""

_TYPES = {"string": "VARCHAR", "large_string": "VARCHAR", "double": "DOUBLE", "bool": "BOOLEAN"}


@dataclass(frozen=True)
class Evaluation:
    """A suite over the rows of a staged file.

    Parameters
    ----------
    expected
        The suite.
    rules
        For each expectation, how it is computed, or Great Expectations' object.
    pushdown
        The engine over the rows.
    library
        Great Expectations' engine over the same rows; None if no expectation needs it.
    results
        The result of each expectation, in their order.
    """

    expected: Sequence[Expected]
    rules: Sequence[Any]
    pushdown: Pushdown
    library: Library | None
    results: Sequence[Any]

    def judges_rows(self, position: int) -> bool:
        """Whether single rows can fail the expectation at a position of the suite."""
        return _judges_rows(self.rules[position])

    def collect_failing_rows(self, failed: Mapping[int, Any]) -> int:
        """Record in the engine which rows failed which expectations, and return the number of failing rows.

        Of the copies that violate uniqueness, the last one that fails no other expectation is kept
        (``docs/decisions/validation.md``).

        Parameters
        ----------
        failed
            Results of the failed expectations that judge rows, by position.

        Raises
        ------
        ConfigError
            An expectation at the level ``row`` does not return which rows failed.
        PerennialError
            The number of failing rows differs from the count.
        """
        forget_failing_rows(self.pushdown)
        # Uniqueness last: which copy is kept depends on the other expectations that each fails.
        for position in sorted(failed, key=lambda position: self.expected[position].is_uniqueness):
            self._record(position)
            if not self.expected[position].is_uniqueness:
                self._check_count(position, failed[position])
        return n_failing_rows(self.pushdown)

    def _record(self, position: int) -> None:
        rule = self.rules[position]
        if self.expected[position].kind == QUERY:
            _record_by_query(self.pushdown, position, self.expected[position])
        elif isinstance(rule, OfRows):
            rows = rule.failing_rows(self.pushdown.row)
            self.pushdown.execute(f"INSERT INTO {FAILING} SELECT row, {position:d} FROM ({rows})")  # noqa: S608 - our own SQL
        elif self.library is not None:
            from tasks.validation.library import record_failing_rows

            record_failing_rows(self.library, self.pushdown, position, self.expected[position], rule)

    def _check_count(self, position: int, result: Any) -> None:
        ((n_found,),) = self.pushdown.execute(
            f"SELECT count(*) FROM {FAILING} WHERE position = {position:d}"  # noqa: S608 - our own name, and a number
        )
        counted = result.result.get("unexpected_count", result.result.get("observed_value"))
        if n_found != counted:
            raise PerennialError(
                f"{self.expected[position].place}: {counted} rows failed, but the query for them found {n_found}; "
                "please report it"
            )


@contextmanager
def evaluation(
    staged: Path, expected: Sequence[Expected], name: str, settings: Settings, work: Path
) -> Iterator[Evaluation]:
    """Open a staged file for a suite.

    Parameters
    ----------
    staged
        The Parquet file.
    expected
        The suite.
    name
        Name of the rows in messages.
    settings
        Bound of the memory.
    work
        Existing folder of the run.

    Raises
    ------
    ConfigError
        A type is unknown, an argument is wrong, or an expectation at the level ``row`` does not judge single rows.
    StorageError
        The memory limit or the disk is too small.
    SourceError
        The file cannot be read.
    """
    types = staged_types(staged, name)
    rules = [_rule(one, position, types) for position, one in enumerate(expected)]
    open_ = partial(_evaluated, staged, expected, name, settings, work, types)
    with ExitStack() as stack:
        try:
            evaluated = stack.enter_context(open_(rules))
        except SourceError:
            if not any(isinstance(rule, NoRows) for rule in rules):
                raise
            # The library says of each query why it cannot be evaluated.
            rules = [_the_librarys(*one) for one in zip(rules, expected, range(len(rules)), strict=True)]
            evaluated = stack.enter_context(open_(rules))
        yield evaluated


@contextmanager
def _evaluated(
    staged: Path,
    expected: Sequence[Expected],
    name: str,
    settings: Settings,
    work: Path,
    types: Mapping[str, str],
    rules: Sequence[Any],
) -> Iterator[Evaluation]:
    with ExitStack() as stack:
        library = None
        if all(isinstance(rule, Computed) for rule in rules):
            connection = stack.enter_context(_database())
        else:
            from tasks.validation.library import opened_library

            library = stack.enter_context(opened_library(list(types)))
            connection = library.connection
        parts = library.parts if library else {}
        pushdown = stack.enter_context(pushed_down(connection, staged, list(types), name, settings, work, parts))
        yield Evaluation(expected, rules, pushdown, library, _results(pushdown, library, rules))


def _results(pushdown: Pushdown, library: Library | None, rules: Sequence[Any]) -> list[Any]:
    own = {position: rule for position, rule in enumerate(rules) if isinstance(rule, Computed)}
    found: dict[int, Any] = dict(computed_results(pushdown, own))
    if library is not None:
        from tasks.validation.library import library_results

        found |= library_results(library, pushdown, [rule for rule in rules if not isinstance(rule, Computed)])
    if len(found) != len(rules):
        raise PerennialError(f"{len(found)} of {len(rules)} expectations have a result; please report it")
    return [found[position] for position in range(len(rules))]


def _the_librarys(rule: Any, expected: Expected, position: int) -> Any:
    if not isinstance(rule, NoRows):
        return rule
    from tasks.validation.library import built

    return built(expected, position)


def staged_types(staged: Path, name: str) -> dict[str, str]:
    """Return the columns of a staged file with their DuckDB types; a type that no contract has is the word of Arrow.

    Parameters
    ----------
    staged
        The Parquet file.
    name
        Name of the rows in messages.

    Raises
    ------
    SourceError
        The file cannot be read.
    """
    import pyarrow.parquet as pq

    with reading(name):
        schema = pq.read_schema(staged)
    return {field.name: _duckdb_type(str(field.type)) for field in schema}


def _duckdb_type(word: str) -> str:
    # Timestamps of other units, and with a zone, are other types of DuckDB.
    return "TIMESTAMP" if word == "timestamp[us]" else _TYPES.get(word, word)


@contextmanager
def _database() -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb

    with duckdb.connect() as connection:
        yield connection


def _rule(expected: Expected, position: int, types: Mapping[str, str]) -> Any:
    rule: Any = computed(expected, types)
    if rule is None:
        from tasks.validation.library import built

        rule = built(expected, position)
    if expected.level == "row" and not _judges_rows(rule):
        raise ConfigError(
            f"{expected.place}: meta.level is 'row', but this type judges the batch as a whole; "
            "set the level to 'schema' or 'warning'"
        )
    return rule


def _judges_rows(rule: Any) -> bool:
    if isinstance(rule, Computed):
        return isinstance(rule, OfRows | NoRows)
    from tasks.validation.library import judges_rows

    return judges_rows(rule)


def computed_results(pushdown: Pushdown, rules: Mapping[int, Computed]) -> dict[int, Found]:
    """Return the results of expectations that need no library, by their positions in the suite."""
    aggregates = [aggregate for rule in rules.values() for aggregate in rule.aggregates]
    values = _values(pushdown, pushdown.rows, aggregates, AT_ONCE)
    for rule in rules.values():
        if isinstance(rule, NoRows):
            ((values[rule.n_rows],),) = pushdown.execute(rule.n_rows)
    failed = [
        rule
        for rule in rules.values()
        if isinstance(rule, OfRows) and not isinstance(rule, NotNull) and values[rule.n_failing]
    ]
    first = {rule.failing: _first_failing(rule, pushdown.row) for rule in failed}
    examples = _values(pushdown, pushdown.numbered, first.values(), _EXAMPLES_AT_ONCE)

    def examples_of(rule: Computed) -> Sequence[Any]:
        return examples.get(first.get(rule.failing, ""), ()) if isinstance(rule, OfRows) else ()

    return {position: rule.found(values, pushdown.columns, examples_of(rule)) for position, rule in rules.items()}


def _record_by_query(pushdown: Pushdown, position: int, expected: Expected) -> None:
    import duckdb

    # Great Expectations puts the batch into the query the same way.
    query = str(expected.kwargs["unexpected_rows_query"]).rstrip("; \t\r\n\v\f").format(batch=NUMBERED)
    statement = f"INSERT INTO {FAILING} SELECT {quoted(pushdown.row)}, {position:d} FROM ({query})"  # noqa: S608 - quoted, a number, and a query of the user
    with reading(pushdown.name):
        try:
            pushdown.connection.execute(statement)
        except duckdb.ProgrammingError as error:
            raise ConfigError(
                f"{expected.place}: at the level 'row' the query must read {{batch}} and return all its columns (*), "
                f"so that the failing rows are known ({readable(error, 300)})"
            ) from error


def _first_failing(rule: OfRows, row: str) -> str:
    chosen = f"arg_min({quoted(rule.column)}, {quoted(row)}, {MAX_EXAMPLES})"
    return f"{chosen} FILTER (WHERE {rule.failing})"


def _values(pushdown: Pushdown, rows: str, aggregates: Collection[str], at_once: int) -> dict[str, Any]:
    """Return the value of each aggregate, in as few queries as can be planned quickly."""
    distinct = list(dict.fromkeys(aggregates))
    values: dict[str, Any] = {}
    for start in range(0, len(distinct), at_once):
        asked = distinct[start : start + at_once]
        (found,) = pushdown.execute(f"SELECT {', '.join(asked)} FROM {rows}")  # noqa: S608 - our own SQL
        values |= zip(asked, found, strict=True)
    return values
