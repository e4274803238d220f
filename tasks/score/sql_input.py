"""The query of a table whose rows are scored."""

from __future__ import annotations

from config.schema import SqlSource
from core.data.sql import quoted
from core.errors import SourceError
from core.score.addresses import SqlTable
from tasks.source.buffer import sql_address, sql_failures


def rows_query(table: SqlTable, key: str | None) -> str:
    """Return the query of a table's rows, in the order of the key if the table has it: a repeat reads the same order.

    Parameters
    ----------
    table
        The table.
    key
        Key column of the model; None if it has none.

    Raises
    ------
    ConfigError
        The environment variable is not set.
    SourceError
        The database cannot be reached, or there is no such table.
    """
    import sqlalchemy as sa

    name = ".".join(quoted(part) for part in (table.schema, table.name) if part)
    query = f"SELECT * FROM {name}"  # noqa: S608 - quoted
    source = SqlSource(kind="sql", uri_env=table.variable, query=query)
    with sql_failures(source):
        engine = sa.create_engine(sql_address(source), poolclass=sa.NullPool)
        try:
            inspector = sa.inspect(engine)
            views = inspector.get_view_names(table.schema)
            if not inspector.has_table(table.name, table.schema) and table.name not in views:
                raise SourceError(f"the database of {table.variable} has no table {name}; correct --input")
            names = [column["name"] for column in inspector.get_columns(table.name, table.schema)]
        finally:
            engine.dispose()
    return f"{query} ORDER BY {quoted(key)}" if key in names and key is not None else query
