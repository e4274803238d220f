"""Great Expectations pushed down to DuckDB: the expectations become queries over a view of the staged Parquet file.

No row passes through Python, so memory is bounded by DuckDB's limit, whatever the number of rows.
"""

from __future__ import annotations

import atexit
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import sqlalchemy as sa

from config.settings import Settings
from core.data.sql import literal, quoted
from core.errors import ConfigError, PerennialError
from core.text import readable
from tasks.source.engine import SPILL, reading
from tasks.validation.expectations import QUERY, Expected
from tasks.validation.wide import Parts, by_part, column_parts, part_file, part_statements

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = "staged_rows"
PARTS = "parts"
"""Folder of the parts of wide rows, under the run's working folder."""
_NUMBERED = "numbered_rows"
_FAILING = "failing_rows"
_REASONS = "reasons"
_FILE_ROW = "file_row_number"
_UNIQUE = ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique")
_POSITION = "position"
"""Key for an expectation's index: results come back in another order, and two may have equal arguments."""


@dataclass(frozen=True)
class Pushdown:
    """An open engine over one staged file.

    Parameters
    ----------
    engine
        Great Expectations' execution engine.
    source
        Its data source, whose one asset is the staged file.
    parts
        Views of a few columns each, if the rows have many.
    row
        Name of the column that numbers the rows of the view for failing rows, from 0.
    name
        Name of the rows in messages.
    """

    engine: Any
    source: Any
    parts: Parts
    row: str
    name: str

    def execute(self, sql: str) -> list[Any]:
        """Execute one of our own statements and return its rows."""
        with self.failures(), self.engine.engine.begin() as connection:
            found = connection.exec_driver_sql(sql)
            return list(found.fetchall()) if found.returns_rows else []

    def table(self, sql: str) -> pa.Table:
        """Execute one of our own statements and return its rows as Arrow."""
        with self.failures(), self.engine.engine.connect() as connection:
            return connection.connection.driver_connection.sql(sql).to_arrow_table()

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turn DuckDB's errors into ours."""
        with reading(self.name):
            try:
                yield
            except sa.exc.DBAPIError as error:
                raise error.orig or error from error


@contextmanager
def pushed_down(staged: Path, columns: Sequence[str], name: str, settings: Settings, work: Path) -> Iterator[Pushdown]:
    """Open DuckDB in memory with a view of a staged file, within ``settings.memory_limit_mb``, spilling under ``work``.

    Raises
    ------
    StorageError
        The memory limit or the disk is too small.
    SourceError
        The file cannot be read.
    """
    source = _source()
    engine = source.get_execution_engine()
    # Great Expectations closes the connection before it fetches the rows; DuckDB then returns none, so that every
    # expectation fails with "list index out of range":
    # https://github.com/great-expectations/great_expectations/issues/11579
    # This instance fetches first; no other code is changed.
    engine.execute_query = MethodType(_execute_and_fetch, engine)
    row = _free_name("__row__", columns)
    pushdown = Pushdown(engine, source, column_parts(columns), row, name)
    try:
        # Kept open: a database in memory is dropped with its last connection.
        with engine.engine.connect():
            for opened in (engine.engine, source.get_engine()):
                _quote_keywords(opened)
            for statement in _preparation(staged, columns, pushdown, settings, work):
                pushdown.execute(statement)
            yield pushdown
    finally:
        for opened in (engine.engine, source.get_engine()):
            opened.dispose()
            # SQLAlchemy keeps DuckDB's types until the interpreter ends and has no public function to release them, so
            # that the binding prints a page about leaks (https://nanobind.readthedocs.io/en/latest/refleaks.html).
            opened.dialect._type_memos.clear()
        shutil.rmtree(work / SPILL, ignore_errors=True)
        shutil.rmtree(work / PARTS, ignore_errors=True)


def built(expected: Sequence[Expected]) -> list[Any]:
    """Return Great Expectations' objects in order, after checks that it omits.

    Raises
    ------
    ConfigError
        A type is unknown (the library would drop it silently), an argument is wrong, or an expectation at the level
        ``row`` does not judge single rows.
    """
    great_expectations()
    expectations = [_built(one, position) for position, one in enumerate(expected)]
    for one, expectation in zip(expected, expectations, strict=True):
        if one.level == "row" and not speaks_of_rows(expectation):
            raise ConfigError(
                f"{one.place}: meta.level is 'row', but this type judges the batch as a whole; "
                "set the level to 'schema' or 'warning'"
            )
    return expectations


def validated(pushdown: Pushdown, expectations: Sequence[Any]) -> list[Any]:
    """Great Expectations' result for each expectation, in their order."""
    results = [
        result
        for table, part in by_part(pushdown.parts, ROWS, expectations)
        for result in _results(pushdown, table, part)
    ]
    by_position = {result.expectation_config.meta[_POSITION]: result for result in results}
    if len(by_position) != len(expectations):
        raise PerennialError(f"{len(by_position)} of {len(expectations)} expectations have a result; please report it")
    return [by_position[position] for position in range(len(expectations))]


def speaks_of_rows(expectation: Any) -> bool:
    """Whether single rows can fail an expectation."""
    return expectation.expectation_type == QUERY or isinstance(getattr(expectation, "map_metric", None), str)


def is_uniqueness(expected: Expected) -> bool:
    """Whether it requires unique values, so that rows fail as copies of each other."""
    return expected.kind in _UNIQUE


def collect_failing_rows(pushdown: Pushdown, failed: dict[int, tuple[Expected, Any, Any]]) -> int:
    """Record in the engine which rows failed which expectations, and return the number of failing rows.

    Of the copies that violate uniqueness, the last one that fails no other expectation is kept
    (``docs/decisions/validation.md``).

    Parameters
    ----------
    failed
        By position in the suite: the expectation, Great Expectations' object and its result.

    Raises
    ------
    ConfigError
        An expectation at the level ``row`` does not return which rows failed.
    PerennialError
        The number of failing rows differs from Great Expectations' count.
    """
    pushdown.execute(f"CREATE OR REPLACE TABLE {_FAILING} (row BIGINT, position INTEGER)")
    from great_expectations.execution_engine.sqlalchemy_batch_data import SqlAlchemyBatchData

    numbered = SqlAlchemyBatchData(pushdown.engine, table_name=_NUMBERED, create_temp_table=False)
    pushdown.engine.load_batch_data(_NUMBERED, numbered)
    # Uniqueness last: which copy is kept depends on the other expectations that each fails.
    for position, (expected, expectation, result) in sorted(failed.items(), key=lambda item: is_uniqueness(item[1][0])):
        _insert(pushdown, position, expected, expectation)
        _check_count(pushdown, position, expected, result)
    ((n_rows,),) = pushdown.execute(f"SELECT count(DISTINCT row) FROM {_FAILING}")  # noqa: S608 - our own name
    return int(n_rows)


def name_reasons(pushdown: Pushdown, reasons: Mapping[int, str]) -> None:
    """Store the text of each expectation, by its position, for the reasons of failing rows."""
    rows = ", ".join(f"({position:d}, {literal(text)})" for position, text in reasons.items())
    pushdown.execute(f"CREATE OR REPLACE TABLE {_REASONS} (position INTEGER, text VARCHAR)")
    pushdown.execute(f"INSERT INTO {_REASONS} VALUES {rows}")  # noqa: S608 - our own name, numbers, quoted text


def failing_rows(pushdown: Pushdown, start: int, stop: int) -> pa.Table:
    """Rows that fail in ``[start, stop)``: ``row``, ascending, and the ``reason``."""
    return pushdown.table(
        f"SELECT row, string_agg(text, '; ' ORDER BY position) AS reason "  # noqa: S608 - our own names, and numbers
        f"FROM {_FAILING} JOIN {_REASONS} USING (position) "
        f"WHERE row >= {start:d} AND row < {stop:d} GROUP BY row ORDER BY row"
    )


def failing_row_numbers(pushdown: Pushdown, start: int, stop: int) -> pa.Table:
    """Numbers of the failing rows in ``[start, stop)``, without reasons."""
    where = f"row >= {start:d} AND row < {stop:d}"
    return pushdown.table(f"SELECT DISTINCT row FROM {_FAILING} WHERE {where}")  # noqa: S608 - our own name, numbers


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


def _results(pushdown: Pushdown, table: str, expectations: Sequence[Any]) -> list[Any]:
    suite = great_expectations().ExpectationSuite(name="suite", expectations=list(expectations))
    if len(suite.expectations) != len(expectations):
        raise PerennialError(
            f"Great Expectations kept {len(suite.expectations)} of {len(expectations)} expectations; please report it"
        )
    batch = pushdown.source.add_table_asset(table, table_name=table).add_batch_definition_whole_table("all").get_batch()
    with pushdown.failures():
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


def _preparation(staged: Path, columns: Sequence[str], pushdown: Pushdown, settings: Settings, work: Path) -> list[str]:
    path, folder = literal(str(staged.resolve())), work / PARTS
    if pushdown.parts:
        folder.mkdir(parents=True, exist_ok=True)
    allowed = ", ".join([path, *(literal(str(part_file(folder, name).resolve())) for name in pushdown.parts)])
    return [
        f"SET GLOBAL memory_limit = '{settings.memory_limit_mb:d}MiB'",
        f"SET GLOBAL temp_directory = {literal(str(work / SPILL))}",
        "SET GLOBAL TimeZone = 'UTC'",
        f"CREATE VIEW {ROWS} AS SELECT * FROM read_parquet({path})",  # noqa: S608 - quoted
        f"CREATE VIEW {_NUMBERED} AS {_numbered(path, pushdown.row, columns)}",
        *part_statements(pushdown.parts, ROWS, folder),
        # A query in a suite reads the batch and nothing else, and writes no file.
        f"SET GLOBAL allowed_paths = [{allowed}]",
        "SET GLOBAL enable_external_access = false",
    ]


def _numbered(path: str, row: str, columns: Sequence[str]) -> str:
    if _FILE_ROW in map(str.lower, columns):
        # The engine's own number has the name of a column; this one takes one thread.
        return f"SELECT row_number() OVER () - 1 AS {quoted(row)}, * FROM read_parquet({path})"  # noqa: S608 - quoted
    file = f"read_parquet({path}, {_FILE_ROW} = true)"
    return f"SELECT * RENAME ({_FILE_ROW} AS {quoted(row)}) FROM {file}"  # noqa: S608 - quoted, and our own name


def _free_name(wanted: str, taken: Sequence[str]) -> str:
    folded = {column.lower() for column in taken}
    while wanted.lower() in folded:
        wanted += "_"
    return wanted


def _built(expected: Expected, position: int) -> Any:
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    try:
        configuration = ExpectationConfiguration(
            type=expected.kind, kwargs=expected.kwargs, severity=expected.severity, meta={_POSITION: position}
        )
        return configuration.to_domain_obj()
    except (GreatExpectationsError, ValueError, TypeError) as error:
        raise ConfigError(f"{expected.place}: Great Expectations refuses it: {readable(error, 400)}") from error


def _insert(pushdown: Pushdown, position: int, expected: Expected, expectation: Any) -> None:
    if expected.kind == QUERY:
        _insert_by_query(pushdown, position, expected)
        return
    rows = (
        _repeated_rows(pushdown, expectation)
        if is_uniqueness(expected)
        else _unexpected_rows(pushdown, expectation, sa.column(pushdown.row))
    )
    target = sa.table(_FAILING, sa.column("row"), sa.column("position"))
    chosen = sa.select(rows.c[0], sa.literal(position))
    with pushdown.failures(), pushdown.engine.engine.begin() as connection:
        connection.execute(sa.insert(target).from_select(["row", "position"], chosen))


def _insert_by_query(pushdown: Pushdown, position: int, expected: Expected) -> None:
    # Great Expectations puts the batch into the query the same way.
    query = str(expected.kwargs["unexpected_rows_query"]).rstrip("; \t\r\n\v\f").format(batch=_NUMBERED)
    statement = f"INSERT INTO {_FAILING} SELECT {quoted(pushdown.row)}, {position:d} FROM ({query})"  # noqa: S608
    with pushdown.failures(), pushdown.engine.engine.begin() as connection:
        try:
            connection.exec_driver_sql(statement)
        except sa.exc.ProgrammingError as error:
            raise ConfigError(
                f"{expected.place}: at the level 'row' the query must read {{batch}} and return all its columns (*), "
                f"so that the failing rows are known ({readable(error.orig, 300)})"
            ) from error


def _unexpected_rows(pushdown: Pushdown, expectation: Any, *columns: Any) -> Any:
    """Return the failing rows of the numbered view, by the condition with which Great Expectations counted them."""
    condition, domain = _condition(pushdown, expectation)
    return sa.select(*columns).select_from(_records(pushdown, domain)).where(condition).subquery()


def _repeated_rows(pushdown: Pushdown, expectation: Any) -> Any:
    """Return all copies except the last valid one; Great Expectations' own condition marks all of them."""
    domain = {**_count_metric(expectation).metric_domain_kwargs, "batch_id": _NUMBERED}
    names = [domain["column"]] if "column" in domain else domain["column_list"]
    keys: list[sa.ColumnElement[Any]] = [sa.column(name) for name in names]
    row: sa.ColumnElement[int] = sa.column(pushdown.row)
    failing: sa.Select[Any] = sa.select(sa.column("row")).select_from(sa.table(_FAILING))
    # A missing value in a single column is no copy; for several columns, ``ignore_row_if`` has filtered the records.
    present = sa.true() if len(keys) > 1 else keys[0].is_not(None)
    marked = sa.select(*keys, row.label("row"), row.in_(failing).label("fails"))
    copies = marked.select_from(_records(pushdown, domain)).where(present).subquery()
    order = [copies.c.fails, copies.c.row.desc()]
    rank = sa.func.row_number().over(partition_by=[copies.c[name] for name in names], order_by=order).label("rank")
    ranked = sa.select(copies.c.row, rank).subquery()
    return sa.select(ranked.c.row).where(ranked.c.rank > 1).subquery()


def _records(pushdown: Pushdown, domain: dict[str, Any]) -> Any:
    records = pushdown.engine.get_domain_records(domain)
    return records.subquery() if isinstance(records, sa.Select) else records


def _condition(pushdown: Pushdown, expectation: Any) -> tuple[Any, dict[str, Any]]:
    from great_expectations.validator.metric_configuration import MetricConfiguration
    from great_expectations.validator.metrics_calculator import MetricsCalculator

    counted = _count_metric(expectation)
    metric = MetricConfiguration(
        metric_name=f"{expectation.map_metric}.condition",
        metric_domain_kwargs={**counted.metric_domain_kwargs, "batch_id": _NUMBERED},
        metric_value_kwargs=counted.metric_value_kwargs,
    )
    calculator = MetricsCalculator(execution_engine=pushdown.engine, show_progress_bars=False)
    condition, computed, accessed = calculator.get_metric(metric)
    return condition, {**computed, **accessed}


def _count_metric(expectation: Any) -> Any:
    dependencies = expectation.get_validation_dependencies(runtime_configuration={"result_format": "BASIC"})
    return dependencies.metric_configurations[f"{expectation.map_metric}.unexpected_count"]


def _check_count(pushdown: Pushdown, position: int, expected: Expected, result: Any) -> None:
    if is_uniqueness(expected):
        return
    ((n_found,),) = pushdown.execute(
        f"SELECT count(*) FROM {_FAILING} WHERE position = {position:d}"  # noqa: S608 - our own name, and a number
    )
    counted = result.result.get("unexpected_count", result.result.get("observed_value"))
    if n_found != counted:
        raise PerennialError(
            f"{expected.place}: {counted} rows failed, but the query for them found {n_found}; please report it"
        )
