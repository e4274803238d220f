"""Sources other than files: stream them into Parquet under the work folder, so that memory does not grow with rows."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.schema import OpenmlSource, SimulatedSource, SklearnSource, SqlSource
from config.settings import Settings, secret
from core.data.delimited import refuse_repeated_names
from core.errors import ConfigError, SourceError
from core.storage_failure import storage_errors
from tasks.source.engine import COPIES
from tasks.source.files import SourceFile, too_many_rows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import sqlalchemy as sa

PART_ROWS = 122_880
SQL_CHUNK_ROWS = 20_000

StreamedSource = SqlSource | SklearnSource | OpenmlSource | SimulatedSource


def source_name(source: StreamedSource) -> str:
    """Return a readable name for a source that is not a file, without credentials."""
    if isinstance(source, SqlSource):
        return f"the query against {source.uri_env}"
    if isinstance(source, OpenmlSource):
        return f"OpenML data set {source.data_id}"
    if isinstance(source, SklearnSource):
        return f"scikit-learn's {source.name}"
    return f"{source.months} simulated months (seed {source.seed})"


def buffered(source: StreamedSource, settings: Settings, work: Path) -> list[SourceFile]:
    """Stream a source into Parquet files under ``work``; a repeat overwrites them.

    Raises
    ------
    SourceError
        The source cannot be reached or read.
    SourceTooLargeError
        It has more rows than ``settings.max_rows``; the rest is not read.
    """
    name = source_name(source)
    # Closed here, because the garbage collector may close a cursor's connection before the cursor.
    with closing(_tables(source, settings)) as tables:
        paths = _written(_larger(_capped(tables, name, settings)), work / COPIES)
    return [SourceFile(path, name) for path in paths]


def _tables(source: StreamedSource, settings: Settings) -> Generator[pa.Table, None, None]:
    if isinstance(source, SqlSource):
        yield from _sql_tables(source)
    elif isinstance(source, SimulatedSource):
        from core.data.simulate import simulate

        yield from map(_table, simulate(source))
    else:
        yield _table(_openml_frame(source, settings) if isinstance(source, OpenmlSource) else _sklearn_frame(source))


def _table(frame: pd.DataFrame) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()


def _sklearn_frame(source: SklearnSource) -> Any:
    from sklearn import datasets

    return getattr(datasets, f"load_{source.name}")(as_frame=True).frame


def _openml_frame(source: OpenmlSource, settings: Settings) -> Any:
    from sklearn.datasets import fetch_openml

    cache = settings.var / "openml"
    try:
        # Without a target column scikit-learn neither drops it from the frame nor refuses missing labels.
        fetched = fetch_openml(
            data_id=source.data_id, target_column=None, as_frame=True, parser="pandas", data_home=str(cache)
        )
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(
            f"{source_name(source)} cannot be fetched: {error}. Check the id and the network; earlier downloads are "
            f"cached under {cache}"
        ) from error
    return fetched.frame


def _sql_tables(source: SqlSource) -> Iterator[pa.Table]:
    import sqlalchemy as sa

    with sql_failures(source):
        engine = sa.create_engine(sql_address(source), poolclass=sa.NullPool)
        try:
            # A server-side cursor if the database has them; yield_per has no effect on plain-text queries.
            options = {"stream_results": True, "max_row_buffer": SQL_CHUNK_ROWS, "postgresql_readonly": True}
            with engine.connect().execution_options(**options) as connection:
                if engine.dialect.name == "sqlite":
                    # Its driver commits what begins neither with INSERT, UPDATE, DELETE nor REPLACE at once.
                    connection.exec_driver_sql("PRAGMA query_only = ON")
                yield from _result_tables(connection.exec_driver_sql(source.query), source)
        finally:
            engine.dispose()


def _result_tables(result: sa.CursorResult[Any], source: SqlSource) -> Iterator[pa.Table]:
    import pyarrow as pa

    names = list(result.keys())
    refuse_repeated_names(names, source_name(source))
    for rows in result.partitions(SQL_CHUNK_ROWS):
        columns = zip(*rows, strict=True)
        yield pa.table({name: _arrow_column(values) for name, values in zip(names, columns, strict=True)})


def _arrow_column(values: Sequence[Any]) -> pa.Array:
    """Return values in their common type, or as text if there is none (SQLite mixes types in a column)."""
    import pyarrow as pa

    try:
        array = pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    if pa.types.is_nested(array.type):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return array


def sql_address(source: SqlSource) -> str:
    """Return the SQLAlchemy address of a source, from the environment.

    Raises
    ------
    ConfigError
        The variable is not set, or holds no address.
    """
    import sqlalchemy as sa

    address = secret(source.uri_env)
    if not address:
        raise ConfigError(
            f"the environment variable {source.uri_env} is not set; expected a SQLAlchemy address in it, such as "
            "postgresql+psycopg://user:password@host/database"
        )
    try:
        sa.make_url(address)
    except ValueError:
        # Without its cause, which quotes what stands where the port is expected: perhaps a part of the password.
        raise ConfigError(
            f"the environment variable {source.uri_env} holds an address whose port is no number; write special "
            "characters of a user or a password as percent codes (':' is %3A, '@' is %40)"
        ) from None
    return address


_READ_ONLY_HINT = "; a SQLite file in WAL mode in a folder that cannot be written has the address sqlite:///file:PATH?immutable=1&uri=true"


@contextmanager
def sql_failures(source: SqlSource) -> Iterator[None]:
    """Turn errors of a database into a :class:`SourceError` that names no password."""
    import sqlalchemy as sa

    try:
        yield
    except ImportError as error:
        raise SourceError(f"{source_name(source)} needs a driver that is not installed: {error.name}") from error
    except sa.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0].rstrip(".")
        hint = _READ_ONLY_HINT if reason == "unable to open database file" else ""
        raise SourceError(f"{source_name(source)} failed: {reason}. Check the address and the query{hint}") from error


def _capped(tables: Iterable[pa.Table], name: str, settings: Settings) -> Iterator[pa.Table]:
    n_rows = 0
    for table in tables:
        n_rows += table.num_rows
        if n_rows > settings.max_rows:
            raise too_many_rows(name, f"has {n_rows:,} rows or more", settings)
        yield table


def _larger(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join consecutive tables of the same schema up to the size of a row group."""
    import pyarrow as pa

    waiting: list[pa.Table] = []
    for table in tables:
        if waiting and (table.schema != waiting[0].schema or sum(map(len, waiting)) >= PART_ROWS):
            yield pa.concat_tables(waiting)
            waiting = []
        waiting.append(table)
    if waiting:
        yield pa.concat_tables(waiting)


def _written(tables: Iterable[pa.Table], folder: Path) -> list[Path]:
    """Write tables, a new file at each schema change: a chunk of a query may be all NULL or need a wider type."""
    import pyarrow.parquet as pq

    paths: list[Path] = []
    with storage_errors(folder), ExitStack() as open_files:
        folder.mkdir(parents=True, exist_ok=True)
        writer = None
        for table in tables:
            if writer is None or writer.schema != table.schema:
                paths.append(folder / f"{len(paths):04}.parquet")
                open_files.close()
                writer = open_files.enter_context(
                    pq.ParquetWriter(paths[-1], table.schema, compression="zstd", compression_level=1)
                )
            writer.write_table(table, row_group_size=PART_ROWS)
    return paths
