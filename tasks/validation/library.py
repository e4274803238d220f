"""Great Expectations' own way, for what is not computed: its expectations become queries over the staged file."""

from __future__ import annotations

import atexit
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import MethodType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import sqlalchemy as sa

from core.errors import ConfigError, PerennialError
from core.text import readable
from tasks.source.engine import reading
from tasks.validation.expectations import QUERY, Expected
from tasks.validation.pushdown import FAILING, NUMBERED, ROWS, Pushdown
from tasks.validation.wide import Parts, by_part, column_parts

if TYPE_CHECKING:
    import duckdb

_POSITION = "position"
"""Key for an expectation's index: results come back in another order, and two may have equal arguments."""


@dataclass(frozen=True)
class Library:
    """The library's engine over an empty database.

    Parameters
    ----------
    engine
        Great Expectations' execution engine.
    source
        Its data source, whose assets are views of the rows.
    parts
        Views of a few columns each, if the rows have many.
    connection
        A connection to the same database.
    """

    engine: Any
    source: Any
    parts: Parts
    connection: duckdb.DuckDBPyConnection


@contextmanager
def opened_library(columns: Sequence[str]) -> Iterator[Library]:
    """Open the library's engine over an empty database in memory, for rows with these columns."""
    source = _source()
    engine = source.get_execution_engine()
    # Great Expectations closes the connection before it fetches the rows; DuckDB then returns none, so that every
    # expectation fails with "list index out of range":
    # https://github.com/great-expectations/great_expectations/issues/11579
    # This instance fetches first; no other code is changed.
    engine.execute_query = MethodType(_execute_and_fetch, engine)
    try:
        # Kept open: a database in memory is dropped with its last connection.
        with engine.engine.connect() as kept:
            for opened in (engine.engine, source.get_engine()):
                _quote_keywords(opened)
            yield Library(engine, source, column_parts(columns), kept.connection.driver_connection.duplicate())
    finally:
        for opened in (engine.engine, source.get_engine()):
            opened.dispose()
            # SQLAlchemy keeps DuckDB's types until the interpreter ends and has no public function to release them, so
            # that the binding prints a page about leaks (https://nanobind.readthedocs.io/en/latest/refleaks.html).
            opened.dialect._type_memos.clear()


def built(expected: Expected, position: int) -> Any:
    """Return Great Expectations' object of one expectation, after checks that it omits.

    Parameters
    ----------
    expected
        The expectation.
    position
        Its position in the suite.

    Raises
    ------
    ConfigError
        The type is unknown (the library would drop it silently), or an argument is wrong.
    """
    great_expectations()
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    try:
        configuration = ExpectationConfiguration(
            type=expected.kind, kwargs=expected.kwargs, severity=expected.severity, meta={_POSITION: position}
        )
        return configuration.to_domain_obj()
    except (GreatExpectationsError, ValueError, TypeError) as error:
        raise ConfigError(f"{expected.place}: Great Expectations refuses it: {readable(error, 400)}") from error


def library_results(library: Library, pushdown: Pushdown, expectations: Sequence[Any]) -> dict[int, Any]:
    """Return Great Expectations' results by the expectations' positions in the suite."""
    results = [
        result
        for table, part in by_part(library.parts, ROWS, expectations)
        for result in _results(library, pushdown, table, part)
    ]
    return {result.expectation_config.meta[_POSITION]: result for result in results}


def judges_rows(expectation: Any) -> bool:
    """Whether single rows can fail an expectation."""
    return expectation.expectation_type == QUERY or isinstance(getattr(expectation, "map_metric", None), str)


def record_failing_rows(
    library: Library, pushdown: Pushdown, position: int, expected: Expected, expectation: Any
) -> None:
    """Record in the engine which rows failed an expectation.

    Parameters
    ----------
    library, pushdown
        The engine.
    position
        The expectation's position in the suite.
    expected, expectation
        The expectation, and Great Expectations' object, whose type has a condition for rows.
    """
    _load_numbered_rows(library)
    rows = (
        _repeated_rows(library, pushdown, expectation)
        if expected.is_uniqueness
        else _unexpected_rows(library, pushdown, expectation)
    )
    target = sa.table(FAILING, sa.column("row"), sa.column("position"))
    chosen = sa.select(rows.c[0], sa.literal(position))
    with _failures(pushdown), library.engine.engine.begin() as connection:
        connection.execute(sa.insert(target).from_select(["row", "position"], chosen))


@cache
def great_expectations() -> Any:
    """Import Great Expectations (2.5 CPU seconds) when it is needed; call it before other imports from the library."""
    import duckdb_engine

    with warnings.catch_warnings():
        # Great Expectations imports modules that Python deprecates.
        warnings.filterwarnings("ignore", r"module 'sre_\w+' is deprecated", DeprecationWarning)
        import great_expectations

    # Together the two keep DuckDB's types past the interpreter's end, so that nanobind prints forty lines about leaks.
    atexit.register(vars(duckdb_engine).clear)
    return great_expectations


@contextmanager
def _failures(pushdown: Pushdown) -> Iterator[None]:
    """Turn DuckDB's errors into ours."""
    with reading(pushdown.name):
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise error.orig or error from error


def _results(library: Library, pushdown: Pushdown, table: str, expectations: Sequence[Any]) -> list[Any]:
    suite = great_expectations().ExpectationSuite(name="suite", expectations=list(expectations))
    if len(suite.expectations) != len(expectations):
        raise PerennialError(
            f"Great Expectations kept {len(suite.expectations)} of {len(expectations)} expectations; please report it"
        )
    batch = library.source.add_table_asset(table, table_name=table).add_batch_definition_whole_table("all").get_batch()
    with _failures(pushdown):
        return list(batch.validate(suite, result_format="BASIC").results)


def _source() -> Any:
    gx = great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context.data_sources.add_sql(
        "staged",
        # A shared database with a unique name, because Great Expectations opens two engines on the address.
        connection_string=f"duckdb:///:memory:{uuid4().hex}",
        create_temp_table=False,
        # DuckDB does not have PostgreSQL's limit of 63 characters, above which SQLAlchemy would shorten column names.
        kwargs={"max_identifier_length": 1_000_000},
    )


def _quote_keywords(engine: sa.Engine) -> None:
    """Let SQLAlchemy quote every word of DuckDB's grammar: it knows PostgreSQL's, to which ``at`` is a name."""
    with engine.connect() as connection:
        words = connection.exec_driver_sql("SELECT keyword_name FROM duckdb_keywords()").scalars().all()
    preparer = engine.dialect.identifier_preparer
    preparer.reserved_words = preparer.reserved_words.union(words)


def _execute_and_fetch(engine: Any, query: Any) -> Any:
    with engine.get_connection() as connection:
        result = connection.execute(query)
        return result.freeze()() if result.returns_rows else result


def _load_numbered_rows(library: Library) -> None:
    from great_expectations.execution_engine.sqlalchemy_batch_data import SqlAlchemyBatchData

    numbered = SqlAlchemyBatchData(library.engine, table_name=NUMBERED, create_temp_table=False)
    library.engine.load_batch_data(NUMBERED, numbered)


def _unexpected_rows(library: Library, pushdown: Pushdown, expectation: Any) -> Any:
    """Return the failing rows of the numbered view, by the condition with which Great Expectations counted them."""
    condition, domain = _condition(library, expectation)
    return sa.select(sa.column(pushdown.row)).select_from(_records(library, domain)).where(condition).subquery()


def _repeated_rows(library: Library, pushdown: Pushdown, expectation: Any) -> Any:
    """Return all copies except the last valid one; Great Expectations' own condition marks all of them."""
    domain = {**_count_metric(expectation).metric_domain_kwargs, "batch_id": NUMBERED}
    names = [domain["column"]] if "column" in domain else domain["column_list"]
    keys: list[sa.ColumnElement[Any]] = [sa.column(name) for name in names]
    row: sa.ColumnElement[int] = sa.column(pushdown.row)
    failing: sa.Select[Any] = sa.select(sa.column("row")).select_from(sa.table(FAILING))
    # A missing value in a single column is no copy; for several columns, ``ignore_row_if`` has filtered the records.
    present = sa.true() if len(keys) > 1 else keys[0].is_not(None)
    marked = sa.select(*keys, row.label("row"), row.in_(failing).label("fails"))
    copies = marked.select_from(_records(library, domain)).where(present).subquery()
    order = [copies.c.fails, copies.c.row.desc()]
    rank = sa.func.row_number().over(partition_by=[copies.c[name] for name in names], order_by=order).label("rank")
    ranked = sa.select(copies.c.row, rank).subquery()
    return sa.select(ranked.c.row).where(ranked.c.rank > 1).subquery()


def _records(library: Library, domain: dict[str, Any]) -> Any:
    records = library.engine.get_domain_records(domain)
    return records.subquery() if isinstance(records, sa.Select) else records


def _condition(library: Library, expectation: Any) -> tuple[Any, dict[str, Any]]:
    from great_expectations.validator.metric_configuration import MetricConfiguration
    from great_expectations.validator.metrics_calculator import MetricsCalculator

    counted = _count_metric(expectation)
    metric = MetricConfiguration(
        metric_name=f"{expectation.map_metric}.condition",
        metric_domain_kwargs={**counted.metric_domain_kwargs, "batch_id": NUMBERED},
        metric_value_kwargs=counted.metric_value_kwargs,
    )
    calculator = MetricsCalculator(execution_engine=library.engine, show_progress_bars=False)
    condition, computed, accessed = calculator.get_metric(metric)
    return condition, {**computed, **accessed}


def _count_metric(expectation: Any) -> Any:
    dependencies = expectation.get_validation_dependencies(runtime_configuration={"result_format": "BASIC"})
    return dependencies.metric_configurations[f"{expectation.map_metric}.unexpected_count"]
