"""A table as an output: all rows of a scoring are appended in one transaction, once."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.schema import SqlSource
from core.errors import SchemaError, StorageError
from core.score.addresses import SqlTable
from core.score.ids import ROWS_PER_ID, id_of_rows
from core.score.output import ID
from core.score.plan import ScoringPlan
from core.storage_failure import storage_errors
from tasks.source.buffer import sql_address

if TYPE_CHECKING:
    import pyarrow as pa
    import sqlalchemy as sa

INSERTED_ROWS = 20_000


@dataclass(frozen=True)
class SqlTarget:
    """A table of a database. Rows that are there stay; those of a scoring are told by their ids.

    Parameters
    ----------
    table
        The table; it is created if it is not there.
    var
        Folder for the rows that are set aside, for there is no place beside a table.
    """

    table: SqlTable
    var: Path

    @property
    def shown(self) -> str:
        """Its address, which names the environment variable only."""
        schema = f"{self.table.schema}." if self.table.schema else ""
        return f"sql:{self.table.variable}/{schema}{self.table.name}"

    def set_aside(self, plan: ScoringPlan) -> str:
        """Path of the rows that are set aside."""
        return str(self.var / "reports" / plan.request.model / "scored" / f"{plan.id[:12]}.set-aside.parquet")

    def exists(self) -> bool:
        """Return False: rows are added to those that are there."""
        return False

    def check(self, names: Sequence[str]) -> None:
        """Refuse a table that lacks columns of the output.

        Raises
        ------
        SchemaError
            The message names them.
        StorageError
            The database failed.
        """
        with self._transaction() as connection:
            there = self._names(connection)
        if there is not None and (lacking := [name for name in names if name not in there]):
            raise SchemaError(
                f"{self.shown} lacks columns of this output: {', '.join(map(repr, lacking[:5]))}; scorings with other "
                "versions or options need another table"
            )

    def _names(self, connection: sa.Connection) -> list[str] | None:
        """Return the names of the table's columns; None if there is no such table."""
        import sqlalchemy as sa

        inspector = sa.inspect(connection)
        if not inspector.has_table(self.table.name, self.table.schema):
            return None
        return [column["name"] for column in inspector.get_columns(self.table.name, self.table.schema)]

    def holds(self, plan: ScoringPlan, sha256: str) -> bool:  # noqa: ARG002 - the ids follow from the content
        """Whether the table has rows of this scoring; they came in one transaction, so that one stands for all."""
        import sqlalchemy as sa

        with self._transaction() as connection:
            if ID not in (self._names(connection) or ()):
                return False
            ids = sa.table(self.table.name, sa.column(ID), schema=self.table.schema).c[ID]
            for number in range(-(-plan.n_rows // ROWS_PER_ID)):
                first = id_of_rows(plan.run, number, plan.at)
                chosen = sa.select(ids).where(ids >= first, ids <= f"{first[:-4]}ffff").limit(1)
                if connection.execute(chosen).first() is not None:
                    return True
        return False

    def has_set_aside(self, plan: ScoringPlan) -> bool:
        """Whether the file with the rows that were set aside is there."""
        return Path(self.set_aside(plan)).exists()

    def put_set_aside(self, plan: ScoringPlan, rows: Path) -> None:
        """Rename the file with the rows that were set aside; after a kill it may have its name already."""
        path = Path(self.set_aside(plan))
        with storage_errors(path):
            if rows.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                rows.replace(path)

    def put(self, plan: ScoringPlan, whole: Path) -> None:  # noqa: ARG002 - the rows have their ids
        """Add all rows in one transaction."""
        files = sorted(whole.glob("*.parquet"))
        with self._transaction() as connection:
            self._insert(connection, files)

    def _insert(self, connection: sa.Connection, files: list[Path]) -> None:
        import pyarrow.parquet as pq
        import sqlalchemy as sa

        schema = pq.read_schema(files[0])
        table = sa.Table(self.table.name, sa.MetaData(), *_columns(schema), schema=self.table.schema)
        table.create(connection, checkfirst=True)
        for rows in _record_batches(files):
            if connection.dialect.driver == "psycopg":
                _copy_in(connection, table, rows)
            else:
                connection.execute(table.insert(), rows.to_pylist())

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        import sqlalchemy as sa

        source = SqlSource(kind="sql", uri_env=self.table.variable, query="SELECT 1")
        engine = None
        try:
            engine = sa.create_engine(sql_address(source), poolclass=sa.NullPool)
            if engine.dialect.name == "sqlite":
                # The driver sends no BEGIN before DDL, so a kill would leave a table without rows.
                sa.event.listen(engine, "connect", _no_own_transactions)
                sa.event.listen(engine, "begin", _begin)
            with engine.begin() as connection:
                yield connection
        except ImportError as error:
            raise StorageError(f"{self.shown} needs a driver that is not installed: {error.name}") from error
        except sa.exc.SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0].rstrip(".")
            raise StorageError(
                f"{self.shown} failed: {reason}. Check the address in {self.table.variable} and the permissions"
            ) from error
        finally:
            if engine is not None:
                engine.dispose()


def _columns(schema: pa.Schema) -> list[sa.Column[Any]]:
    import pyarrow as pa
    import sqlalchemy as sa

    kinds: dict[Any, Any] = {
        pa.float64(): sa.Double(),
        pa.bool_(): sa.Boolean(),
        pa.int64(): sa.BigInteger(),
        pa.string(): sa.Text(),
        pa.timestamp("us"): sa.DateTime(),
    }
    return [
        sa.Column(field.name, sa.String(36), primary_key=True)
        if field.name == ID
        else sa.Column(field.name, kinds.get(field.type, sa.DateTime(timezone=True)))
        for field in schema
    ]


def _record_batches(files: list[Path]) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    for file in files:
        with pq.ParquetFile(file) as parquet:
            yield from parquet.iter_batches(INSERTED_ROWS)


def _copy_in(connection: sa.Connection, table: sa.Table, rows: pa.RecordBatch) -> None:
    """Send rows by PostgreSQL's COPY, many times faster than INSERT."""
    import pyarrow as pa
    import pyarrow.csv as csv

    content = io.BytesIO()
    csv.write_csv(pa.Table.from_batches([rows]), content, csv.WriteOptions(include_header=False))
    prepared = connection.dialect.identifier_preparer
    names = ", ".join(prepared.quote(name) for name in rows.schema.names)
    cursor: Any = connection.connection.cursor()
    with cursor.copy(f"COPY {prepared.format_table(table)} ({names}) FROM STDIN WITH (FORMAT csv)") as copy:
        copy.write(content.getvalue())


def _no_own_transactions(connection: Any, record: object) -> None:  # noqa: ARG001 - SQLAlchemy's signature
    connection.isolation_level = None


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
